"""The command that trains a model, with the settings that differ from its recipe."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vsezoo import registry
from vsezoo.inputs import PairDataset
from vsezoo.recipe import Recipe
from vsezoo.recipe.recipe import KINDS
from vsezoo.storage.checkpoint_layout import CONFIG


class StoredData(PairDataset):
    """Training data as described by a checkpoint: the form of the images, without the images."""

    split = "train"
    captions: Sequence[str] = ()
    image_ids: Sequence[str] = ()
    image_of = np.zeros(0, dtype=np.int64)

    def __init__(self, name: str, kind: str, image_shape: Sequence[int]) -> None:
        self.name, self.kind, self.image_shape = name, kind, tuple(image_shape)

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Raise, because there are no images."""
        raise IndexError("a checkpoint contains no images")


def find_changes(recipe: Recipe, registered: Recipe, data: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings of a resolved recipe that differ from the registered recipe for its data set.

    Args:
        recipe: as trained, every option resolved.
        registered: the recipe registered under its name.
        data: the training data in `config.json`; an empty `image_shape` is unknown.

    Returns:
        by dotted name, parts first: the value, and the value in the recipe (None if it has no such setting).
    """
    from vsezoo.parts import resolve_recipe  # imports torch

    base = registered.for_data(data["name"])
    own = base.flatten()
    parts = {kind: getattr(recipe, kind).name for kind in KINDS if getattr(recipe, kind).name != own[kind]}
    stored = StoredData(data["name"], data["kind"], data["image_shape"]) if data["image_shape"] else None
    if base.embed_size is None:  # the pretrained weights decided it
        base = base.replace({"embed_size": recipe.embed_size})
    compared = resolve_recipe(base.replace(parts), stored).flatten()
    changes = {name: (value, own[name]) for name, value in parts.items()}
    for name, value in recipe.flatten().items():
        if name not in compared or compared[name] != value:
            changes[name] = (value, compared.get(name))
    return changes


def write_command(
    recipe: Recipe, data: str, changes: Mapping[str, tuple[Any, Any]] | None, *, flags: Sequence[str] = ()
) -> str:
    """Return the command that trains with these settings; with all of them if the changes are unknown.

    A recipe that is not registered, such as one from a file, is referred to by the `config.json` of the checkpoint.
    """
    model = recipe.name
    if changes is None and recipe.name not in registry.list_names("models"):
        model, changes = CONFIG, {}
    elif changes is None:
        changes = {name: (value, None) for name, value in recipe.flatten().items()}
    words = ["vsezoo", "train", model, "--data", data if data in registry.list_names("datasets") else f"./{data}"]
    for name, (value, _) in changes.items():
        words += ["--set", f"{name}={_write_value(value)}"]
    return shlex.join([*words, *flags])


def _write_value(value: Any) -> str:
    """Return a value in the syntax of `--set`: a string without quotes, unless it would be read as something else."""
    if isinstance(value, str):
        try:
            json.loads(value)
        except (ValueError, RecursionError):
            return value
    return json.dumps(value)
