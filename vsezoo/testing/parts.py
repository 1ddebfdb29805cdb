"""Checks of all parts of a model: their options, their results, their state."""

from __future__ import annotations

import functools
import inspect
import json
import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.construction import build_loss, build_model, build_part
from vsezoo.errors import RecipeError
from vsezoo.interfaces import ImageEncoder, PairDataset
from vsezoo.parts import GIVEN_BY_VSEZOO, list_options, load_text_encoder, resolve_recipe
from vsezoo.recipe import Part, Recipe
from vsezoo.recipe.signatures import read_parameters
from vsezoo.storage.tensors import load_tensors
from vsezoo.testing.built import STEPS, Built, duplicate, train_part
from vsezoo.testing.inputs import record_inputs
from vsezoo.testing.kit import Kit, promise, require, require_equal
from vsezoo.testing.samples import CAPTIONS, SamplePairs
from vsezoo.training.state import seed_all

OFTEN = 10
"""How often the tokenizer is given the captions, so that none of their words is rare."""


@dataclass
class PartKit(Kit):
    """The checks of every part: image encoder, text encoder, similarity, loss.

    Attributes:
        options: of the part, as a recipe gives them; the rest have their defaults.
        embed_size: D, the width of the joint embedding.
        data: the images and captions to use; None: synthetic ones.
    """

    part: ClassVar[str]  # the recipe's field for it
    options: Mapping[str, Any] = field(default_factory=dict)
    embed_size: int = 8
    data: PairDataset | None = None
    _built: dict[int, Built] = field(default_factory=dict, init=False, repr=False)  # by seed; nobody changes them

    @abstractmethod
    def run(self, built: Built) -> dict[str, Tensor]:
        """Return the part's outputs for its inputs, which are the same at each call."""

    @functools.cached_property
    def pairs(self) -> PairDataset:
        """The images and captions."""
        return self.data or SamplePairs()

    @property
    def wants_sets(self) -> bool:
        """Whether the part needs sets from the other encoders."""
        return False

    @property
    def pairs_of_images(self) -> PairDataset:
        """The images of the model's image encoder."""
        return SamplePairs("regions" if self.wants_sets else "vector")

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe of a small model with the part, its options as read from a checkpoint."""
        return self.resolve()

    def require_declarations(self) -> None:
        """Check the declarations of the class before anything is built. Does nothing by default."""

    def resolve(self) -> Recipe:
        """Fill in the options of all parts, and convert them to JSON and back."""
        parts: dict[str, Any] = {
            "image_encoder": Part("regions" if self.wants_sets else "precomp"),
            "text_encoder": Part("gru", {"word_dim": 4, "vocab_threshold": 1}),
            "similarity": Part("cosine"),
            "loss": Part("hinge"),
            self.part: Part(self.subject.name, self.options),
        }
        recipe = Recipe("conformance", "A model of the conformance kit.", **parts, embed_size=self.embed_size)
        resolved = resolve_recipe(recipe, self.pairs_of_images)
        return Recipe.from_json(json.loads(json.dumps(resolved.to_json())))

    def build(self, seed: int = 0) -> Built:
        """Return what `construct` does, with a part for the caller alone: to copy is quicker than to build."""
        if seed not in self._built:
            self._built[seed] = self.construct(seed)
        seed_all(seed)
        return duplicate(self._built[seed], self.part) or self.construct(seed)

    def build_trained(self) -> Built:
        """Return what `build` does, the part trained for a few steps and in eval mode."""
        built = duplicate(self._trained[0], self.part)
        if built is None:
            self.train(built := self.build())
        self.find(built).eval()
        return built

    @functools.cached_property
    def _trained(self) -> tuple[Built, set[str]]:
        """What `train` makes of a part, and what it returns; nobody changes it."""
        built = self.build()
        return built, self.train(built)

    def construct(self, seed: int = 0) -> Built:
        """Build the model and its loss as training does, but without pretrained weights."""
        recipe = self.recipe
        seed_all(seed)
        tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
        tokenizer.fit(tokenizer.split([*self.pairs.captions, *CAPTIONS]) * OFTEN)
        built = Built(build_model(recipe, tokenizer), build_loss(recipe, tokenizer))
        built.model.image_encoder.fit(self.pairs_of_images)
        return built

    def find(self, built: Built) -> nn.Module:
        """Return the part itself."""
        module: nn.Module = built.loss if self.part == "loss" else getattr(built.model, self.part)
        return module

    def train(self, built: Built) -> set[str]:
        """Train only the part for a few steps, and return the names of the parameters that never had a gradient."""
        return train_part(self.find(built).train(), lambda: self.run(built))

    @promise(
        "construction",
        "Give every option of the constructor a default that is a string, number, boolean, list, object or null, and "
        "take neither *args nor **kwargs, except to pass them on to the base class: options behind them are neither "
        "listed nor stored. Copy a list before changing it.",
    )
    def check_construction(self) -> None:
        """It is built from its options, keywords with defaults that JSON can store, and can be called."""
        self.require_declarations()
        part = self.subject.thing
        for name, parameter in read_parameters(part).items():
            if parameter.kind == parameter.VAR_KEYWORD and _lists_more(part):
                continue
            starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            require(not starred, f"the constructor takes **kwargs or *args ({name})")
            given = name in GIVEN_BY_VSEZOO or parameter.default is not parameter.empty
            require(given, f"the option {name!r} has no default")
        for name, option in list_options(part, self.options).items():
            value = option.default
            try:
                kept = json.loads(json.dumps(value))
            except (TypeError, ValueError) as error:
                require(False, f"the default of {name!r}, {value!r}, cannot be stored as JSON: {error}")
            require(
                kept == value and type(kept) is type(value), f"the default of {name!r}, {value!r}, becomes {kept!r}"
            )
        require(self.resolve() == self.recipe, "the options resolve differently at a second call")
        require(resolve_recipe(self.recipe) == self.recipe, "resolved options change when they are resolved again")
        built = self.build()
        require(self.resolve() == self.recipe, "the constructor changes the options that it receives, or its defaults")
        if any(parameter.kind == parameter.VAR_KEYWORD for parameter in inspect.signature(part).parameters.values()):
            misspelt = self.recipe.replace({f"{self.part}.no_such_option": 0})
            with suppress(RecipeError):
                build_part(misspelt, self.part, built.model.tokenizer)
                require(False, "the constructor silently accepts an unknown option, no_such_option")
        self.run(built)

    @promise(
        "seed",
        "Draw from torch's global generator, and do not seed it; seed other libraries from torch.initial_seed().",
    )
    def check_seed(self) -> None:
        """The same seed gives the same weights and, in training, the same outputs; it sets no seed itself."""
        first, second = self.build(), self.construct()
        after = [torch.get_rng_state()]
        for name, tensor in self.find(first).state_dict().items():
            require_equal(self.find(second).state_dict()[name], tensor, f"{name}, initialised twice from one seed", 0)
        self._built[1] = self.construct(1)
        after.append(torch.get_rng_state())
        require(
            not torch.equal(*after), "building the part from another seed leaves torch's generator in the same state"
        )
        runs, after = [], []
        for built, seed in ((first, 1), (second, 1), (second, 2)):
            self.find(built).train()
            seed_all(seed)
            runs.append(self.run(built))
            after.append(torch.get_rng_state())
        for name, output in runs[0].items():
            require_equal(runs[1][name], output, f"{name} in training, twice from one seed", 0)
        require(not torch.equal(*after[1:]), "training with another seed leaves torch's generator in the same state")

    @promise(
        "eval",
        "Apply dropout and other noise only if self.training.",
    )
    def check_eval(self) -> None:
        """In eval mode the same input gives the same output, whatever the state of the random generators."""
        built = self.build()
        self.find(built).eval()
        first, second = self.run(built), self.run(built)
        for name, output in first.items():
            require_equal(second[name], output, f"{name} in eval mode, computed twice", 0)

    @promise(
        "inputs",
        "Make new tensors, x = x - y, instead of changing the input: x -= y, x.sub_(y), x[0] = y.",
    )
    def check_inputs(self) -> None:
        """It does not change its inputs: others read them, and features may belong to the data set."""
        built = self.build()
        part = self.find(built)
        for training in (True, False):
            with record_inputs(part.train(training)) as given:
                self.run(built)
            for name, (tensor, before) in given.items():
                require(torch.equal(tensor, before), f"{name} was changed")

    @promise(
        "gradients",
        "Use the parameter, call requires_grad_(False), or name it in the class attribute without_gradient.",
    )
    def check_gradients(self) -> None:
        """Within 3 steps each trainable parameter gets a gradient, and it is finite."""
        built, names = self._trained
        exempt = tuple(getattr(self.find(built), "without_gradient", ()))
        waiting = sorted(name for name in names if not name.startswith(exempt or ("\0",)))
        require(not waiting, f"no gradient, or only zeros, for {', '.join(waiting)}")

    @promise(
        "state",
        "Keep numbers in buffers (register_buffer), the rest in options; tie weights in forward, not by a second name.",
    )
    def check_state(self) -> None:
        """Its state_dict holds only tensors, which share no memory and fit another part with the same options.

        No other attribute is a tensor, since it would not move to a GPU with the part.
        """
        part, other = self.find(self.build(0)), self.find(self.build(1))
        for owner, module in part.named_modules():
            for name, value in vars(module).items():
                words = f"the attribute {f'{owner}.{name}'.lstrip('.')} is a tensor, but no parameter or buffer"
                require(not (isinstance(value, Tensor) and value.dim()), words)
        state = part.state_dict()
        for name, value in state.items():
            require(isinstance(value, Tensor), f"{name} is of type {type(value).__name__}, not a tensor")
        try:
            stored = load(save({name: tensor.contiguous() for name, tensor in state.items()}))
        except RuntimeError as error:  # the message of safetensors about shared memory
            require(False, " ".join(str(error).split()))
        load_tensors(other, stored, Path("state_dict"))
        for name, tensor in other.state_dict().items():
            require_equal(tensor, state[name], f"{name} after loading the state", 0)

    @promise(
        "checkpoint",
        "Keep what fit and training change in parameters and buffers, and the tokenizer's state in its files.",
    )
    def check_checkpoint(self) -> None:
        """After training, saving and loading it gives the same outputs."""
        built = self.build_trained()
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "checkpoint"
            trained = {"epoch": 1, "step": STEPS, "criterion": "rsum", "score": 0.0}
            save_checkpoint(place, built.model.eval(), self.pairs, trained, loss=built.loss.eval())
            checkpoint = Checkpoint.open(place)
            loaded = Built(checkpoint.model(), checkpoint.loss())
        expected, found = self.run(built), self.run(loaded)
        for name, output in expected.items():
            require_equal(found[name], output, f"{name} after saving and loading", 0)


def _lists_more(part: type) -> bool:
    """Return whether a part declares the options that it takes as **kwargs."""
    return issubclass(part, ImageEncoder) and "more_options" in {
        name for owner in part.__mro__[: part.__mro__.index(ImageEncoder)] for name in vars(owner)
    }
