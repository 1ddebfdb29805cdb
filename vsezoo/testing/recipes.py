"""Checks of recipes: they can be listed, built, trained and stored."""

from __future__ import annotations

import functools
import json
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vsezoo.checkpoints.checkpoint import load, save_checkpoint
from vsezoo.construction import count_parameters
from vsezoo.data.lookup import open_data
from vsezoo.inputs import PairDataset
from vsezoo.parts import accepted_kinds, change_recipe, resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.testing.imports import require_light
from vsezoo.testing.kit import Kit, promise, require, require_equal
from vsezoo.testing.steps import PROCESSES, prepare_loop, share_steps, take_steps
from vsezoo.training.loop import Loop

STEPS = 10
PAIRS = 16
"""Maximum size of the batch to train on."""


@dataclass
class RecipeKit(Kit):
    """The checks of recipes.

    Attributes:
        settings: changes to the recipe by dotted names, such as a smaller embed_size.
        data: a data set by its name, a folder, or an open split; its dev split is trained on, which is smaller.
        slow: also compare two processes with one, which takes about ten seconds.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    data: str | PairDataset = "shapes"
    slow: bool = False

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe with the settings and its overrides for the data."""
        recipe: Recipe = self.subject.thing
        name = self.data if isinstance(self.data, str) else self.data.name
        return change_recipe(recipe.for_data(name), self.settings)

    @functools.cached_property
    def pairs(self) -> PairDataset:
        """The data to train on."""
        if isinstance(self.data, PairDataset):
            return self.data
        return open_data(self.data, "dev", accepted_kinds(self.recipe))

    @functools.cached_property
    def _trained(self) -> tuple[Loop, list[float]]:
        """A loop after ten steps on one batch, and the loss of each."""
        loop = prepare_loop(self.recipe, self.pairs, PAIRS)
        loop.model.train()
        loop.loss.train()
        loop.loss.start_epoch(0)
        return loop, [float(step["loss"]) for step in take_steps(loop, STEPS)]

    @promise(
        "construction",
        "Compare with `vsezoo list-plugins` and `vsezoo show`.",
    )
    def check_construction(self) -> None:
        """Its parts are registered, accept the options it gives them, and fit each other and the data."""
        prepare_loop(self.recipe, self.pairs, 2)

    @promise(
        "light",
        "Name parts by their registered names; keep their classes in another module.",
        applies=lambda kit: kit.subject.module is not None,
    )
    def check_light(self) -> None:
        """Its module imports neither torch nor numpy, since `vsezoo list-models` imports those of all recipes."""
        require_light(self.subject)

    @promise(
        "json",
        "Give options as strings, numbers, booleans, lists, objects or None: not tuples or classes.",
    )
    def check_json(self) -> None:
        """Writing it as JSON and reading it gives the same recipe, with its options filled in or not."""
        recipe: Recipe = self.subject.thing
        for words, value in (("", recipe), (" with its options filled in", resolve_recipe(recipe))):
            stored = value.to_json()
            again = Recipe.from_json(json.loads(json.dumps(stored))).to_json()
            differ = [name for name, setting in stored.items() if again[name] != setting]
            require(not differ, f"different values of {', '.join(differ)}{words}")

    @promise(
        "overrides",
        "Use dotted names as --set does, such as training.num_epochs, and give each Override a reason.",
    )
    def check_overrides(self) -> None:
        """Its overrides for a data set change existing settings, and each has a reason."""
        recipe: Recipe = self.subject.thing
        for data, override in recipe.overrides.items():
            resolve_recipe(recipe.for_data(data))
            require(bool(override.reason.strip()), f"no reason for the override for {data}")

    @promise(
        "count",
        "Do not read numbers out of tensors in constructors.",
    )
    def check_count(self) -> None:
        """It can be built without memory, on the device `meta`: `vsezoo show` counts its parameters there."""
        require(count_parameters(self.recipe)["total"] > 0, "no parameters")

    @promise(
        "training",
        "Look at the learning rate, at the sign of the loss, and whether the gradient reaches both encoders.",
    )
    def check_training(self) -> None:
        """In ten steps on one batch the loss falls and stays finite."""
        _, losses = self._trained
        listing = ", ".join(f"{loss:.4g}" for loss in losses)
        require(all(map(math.isfinite, losses)), f"the losses {listing}")
        require(sum(losses[-3:]) / 3 < losses[0], f"the losses {listing}")

    @promise(
        "checkpoint",
        "Check each of its parts: vsezoo.testing.check('image_encoders', NAME), and so on.",
    )
    def check_checkpoint(self) -> None:
        """After training, saving and loading it gives the same embeddings."""
        loop, _ = self._trained
        images, captions = self.pairs.images(range(4)), list(self.pairs.captions[:4])
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "checkpoint"
            trained = {"epoch": 1, "step": STEPS, "criterion": "rsum", "score": 0.0}
            save_checkpoint(place, loop.model.eval(), self.pairs, trained, loss=loop.loss)
            loaded = load(place)
        require_equal(loaded.encode_images(images), loop.model.encode_images(images), "images after loading", 0)
        require_equal(loaded.encode_texts(captions), loop.model.encode_texts(captions), "captions after loading", 0)

    @promise(
        "processes",
        "Take negatives from the scores, which cover the whole batch; an encoder sees its own share only.",
        applies=lambda kit: kit.slow,
    )
    def check_processes(self) -> None:
        """Two processes that share a batch have the loss and the gradients of one.

        Compared in eval mode, in which batch norm and dropout are the same for both.
        """
        images = min(8, len(self.pairs.image_ids) // PROCESSES * PROCESSES)
        loop = prepare_loop(self.recipe, self.pairs, images)
        loop.model.eval()
        loop.loss.eval()
        alone = take_steps(loop, 2)
        for rank, shared in enumerate(share_steps(self.recipe, self.pairs, images, 2)):
            for step, (expected, found) in enumerate(zip(alone, shared, strict=True)):
                words = f"step {step + 1}, process {rank}"
                absent = expected.keys() ^ found.keys()
                require(not absent, f"{words}: gradients of other parameters: {', '.join(sorted(absent))}")
                # An optimiser amplifies the last bits of small gradients, so that they differ after a step.
                for name, value in expected.items():
                    require_equal(found[name], value, f"{words}: {name}", 1e-5 if step == 0 else 1e-3)
