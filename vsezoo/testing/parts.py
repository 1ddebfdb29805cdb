"""What all parts of a model promise: their options, their numbers, their state."""

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
from typing import Any, ClassVar, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from vsezoo.checkpoints.checkpoint import load as load_model
from vsezoo.checkpoints.checkpoint import load_loss, save_checkpoint
from vsezoo.construction import build_loss, build_model, build_part
from vsezoo.errors import RecipeError
from vsezoo.interfaces import ImageEncoder, Loss, PairDataset
from vsezoo.model import JointEmbedding
from vsezoo.parts import GIVEN_BY_VSEZOO, list_options, load_text_encoder, resolve_recipe
from vsezoo.recipe import Part, Recipe
from vsezoo.recipe.signatures import read_parameters
from vsezoo.storage.tensors import load_tensors
from vsezoo.testing.inputs import record_inputs
from vsezoo.testing.kit import Kit, promise, require, require_equal
from vsezoo.testing.samples import CAPTIONS, SamplePairs
from vsezoo.training.state import seed_all

OFTEN = 10
"""How often the captions are told to the tokenizer: none of their words is rare."""
STEPS = 3
"""Steps of training after which every parameter has had a gradient: a layer may begin with a scale of zero."""


class Built(NamedTuple):
    """A model and the loss that goes with it."""

    model: JointEmbedding
    loss: Loss


@dataclass
class PartKit(Kit):
    """The checks of every part: image encoder, text encoder, similarity, loss.

    Attributes:
        options: of the part, as a recipe gives them; the rest have their defaults.
        embed_size: D, the width of the joint embedding.
        data: whose images and captions are used; None: some that are made up.
    """

    part: ClassVar[str]  # the recipe's field for it
    options: Mapping[str, Any] = field(default_factory=dict)
    embed_size: int = 8
    data: PairDataset | None = None

    @abstractmethod
    def run(self, built: Built) -> dict[str, Tensor]:
        """Return what the part makes of its inputs, which are the same at each call."""

    @functools.cached_property
    def pairs(self) -> PairDataset:
        """The images and captions."""
        return self.data or SamplePairs()

    @property
    def wants_sets(self) -> bool:
        """Whether the part wants sets from the encoders beside it."""
        return False

    @property
    def pairs_of_images(self) -> PairDataset:
        """The images of the model's image encoder."""
        return SamplePairs("regions" if self.wants_sets else "vector")

    @functools.cached_property
    def recipe(self) -> Recipe:
        """The recipe of a small model that has the part, its options as a checkpoint gives them back."""
        return self.resolve()

    def require_declarations(self) -> None:
        """Look at what the class says of itself, before anything is built. By default, nothing."""

    def resolve(self) -> Recipe:
        """Fill in the options of the part and of those beside it, and take them through JSON."""
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
        """Build the model and its loss as a training does, but for weights that were learnt elsewhere."""
        seed_all(seed)
        recipe = self.recipe
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
        """Take a few steps on the part alone, and return the names of the parameters that never had a gradient."""
        part = self.find(built).train()
        parameters = {name: value for name, value in part.named_parameters() if value.requires_grad}
        waiting = set(parameters)
        if not parameters:
            return waiting
        optimizer = torch.optim.Adam(parameters.values(), 1e-2)
        for _ in range(STEPS):
            total = self._objective(self.run(built))
            if not total.requires_grad:
                return waiting
            total.backward()  # type: ignore[no-untyped-call]
            for name, parameter in parameters.items():
                if parameter.grad is not None:
                    require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")
                    if parameter.grad.any():
                        waiting.discard(name)
            optimizer.step()
            optimizer.zero_grad()
        return waiting

    def _objective(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """Return a number that hangs on all that came out; squares and sums would be constants of unit vectors."""
        generator = torch.Generator().manual_seed(0)
        weighted = [(output * torch.randn(output.shape, generator=generator)).sum() for output in outputs.values()]
        return torch.stack(weighted).sum()

    @promise(
        "construction",
        "Give every option of the constructor a default that is a string, number, boolean, list, object or null, and "
        "take neither *args nor **kwargs, but to pass these on to the class that it extends: what else stands behind "
        "them is neither listed nor stored. Copy a list before you change it.",
    )
    def check_construction(self) -> None:
        """It is built from its options, keywords with defaults that JSON can hold, and can be called."""
        self.require_declarations()
        part = self.subject.thing
        for name, parameter in read_parameters(part).items():
            if parameter.kind == parameter.VAR_KEYWORD and _lists_more(part):
                continue
            starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            require(not starred, f"the constructor takes any {name} whatsoever")
            given = name in GIVEN_BY_VSEZOO or parameter.default is not parameter.empty
            require(given, f"the option {name!r} has no default")
        for name, option in list_options(part, self.options).items():
            value = option.default
            try:
                kept = json.loads(json.dumps(value))
            except (TypeError, ValueError) as error:
                require(False, f"the default of {name!r}, {value!r}, is nothing that JSON can hold: {error}")
            require(
                kept == value and type(kept) is type(value), f"the default of {name!r}, {value!r}, becomes {kept!r}"
            )
        require(self.resolve() == self.recipe, "the options are resolved in another way at the second time")
        require(resolve_recipe(self.recipe) == self.recipe, "resolved options change when they are resolved again")
        built = self.build()
        require(self.resolve() == self.recipe, "the constructor changes the options that it is given, or its defaults")
        if any(parameter.kind == parameter.VAR_KEYWORD for parameter in inspect.signature(part).parameters.values()):
            misspelt = self.recipe.replace({f"{self.part}.no_such_option": 0})
            with suppress(RecipeError):
                build_part(misspelt, self.part, built.model.tokenizer)
                require(False, "the constructor takes an option that there is not, no_such_option, and swallows it")
        self.run(built)

    @promise(
        "seed",
        "Draw from torch's global generator, and do not seed it; what other libraries draw, seed from "
        "torch.initial_seed().",
    )
    def check_seed(self) -> None:
        """With the same seed it has the same weights, and in training gives the same numbers; it sets no seed."""
        first, second = self.build(), self.build()
        after = [torch.get_rng_state()]
        for name, tensor in self.find(first).state_dict().items():
            require_equal(self.find(second).state_dict()[name], tensor, f"{name}, drawn twice from one seed", 0)
        self.build(1)
        after.append(torch.get_rng_state())
        require(not torch.equal(*after), "torch's generator is the same after a part was built from another seed")
        runs, after = [], []
        for built, seed in ((first, 1), (second, 1), (second, 2)):
            self.find(built).train()
            seed_all(seed)
            runs.append(self.run(built))
            after.append(torch.get_rng_state())
        for name, output in runs[0].items():
            require_equal(runs[1][name], output, f"{name} in training, twice from one seed", 0)
        require(not torch.equal(*after[1:]), "torch's generator is the same after a training with another seed")

    @promise(
        "eval",
        "Leave out dropout and other noise unless self.training.",
    )
    def check_eval(self) -> None:
        """In eval mode it gives the same numbers for the same input, whatever the random generators say."""
        built = self.build()
        self.find(built).eval()
        first, second = self.run(built), self.run(built)
        for name, output in first.items():
            require_equal(second[name], output, f"{name} in eval mode, computed twice", 0)

    @promise(
        "inputs",
        "Make new tensors, x = x - y, instead of changing what came: x -= y, x.sub_(y), x[0] = y.",
    )
    def check_inputs(self) -> None:
        """It leaves what it is given as it was: others read it, too, and features may be those of the data set."""
        built = self.build()
        part = self.find(built)
        for training in (True, False):
            with record_inputs(part.train(training)) as given:
                self.run(built)
            for name, (tensor, before) in given.items():
                require(torch.equal(tensor, before), f"{name} has other numbers after it was read")

    @promise(
        "gradients",
        "Use the parameter, call requires_grad_(False), or name it in the class attribute without_gradient.",
    )
    def check_gradients(self) -> None:
        """Within 3 steps each parameter that wants a gradient gets one, and it is finite."""
        built = self.build()
        exempt = tuple(getattr(self.find(built), "without_gradient", ()))
        waiting = sorted(name for name in self.train(built) if not name.startswith(exempt or ("\0",)))
        require(not waiting, f"none, or zeros alone, for {', '.join(waiting)}")

    @promise(
        "state",
        "Keep numbers in buffers (register_buffer), all else in options; tie weights in forward, not by a second name.",
    )
    def check_state(self) -> None:
        """Its state_dict holds tensors alone, which share no memory and fit another part of the same options.

        No tensor is kept beside parameters and buffers, since it would not move to a GPU with them; a number may be.
        """
        part, other = self.find(self.build(0)), self.find(self.build(1))
        for owner, module in part.named_modules():
            for name, value in vars(module).items():
                words = f"the attribute {f'{owner}.{name}'.lstrip('.')} is a tensor, no parameter and no buffer"
                require(not (isinstance(value, Tensor) and value.dim()), words)
        state = part.state_dict()
        for name, value in state.items():
            require(isinstance(value, Tensor), f"{name} is of type {type(value).__name__}")
        try:
            stored = load(save({name: tensor.contiguous() for name, tensor in state.items()}))
        except RuntimeError as error:  # what safetensors says of shared memory
            require(False, " ".join(str(error).split()))
        load_tensors(other, stored, Path("state_dict"))
        for name, tensor in other.state_dict().items():
            require_equal(tensor, state[name], f"{name} after it was stored", 0)

    @promise(
        "checkpoint",
        "Keep what fit and training change in parameters and buffers, and what the tokenizer knows in its files.",
    )
    def check_checkpoint(self) -> None:
        """After training, saving and loading it gives the same numbers."""
        built = self.build()
        self.train(built)
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "checkpoint"
            trained = {"epoch": 1, "step": STEPS, "criterion": "rsum", "score": 0.0}
            save_checkpoint(place, built.model.eval(), self.pairs, trained, loss=built.loss.eval())
            loaded = Built(load_model(place), load_loss(place))
        expected, found = self.run(built), self.run(loaded)
        for name, output in expected.items():
            require_equal(found[name], output, f"{name} after saving and loading", 0)


def _lists_more(part: type) -> bool:
    """Tell whether a part says which options it takes as **kwargs."""
    return issubclass(part, ImageEncoder) and "more_options" in {
        name for owner in part.__mro__[: part.__mro__.index(ImageEncoder)] for name in vars(owner)
    }
