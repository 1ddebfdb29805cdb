"""Recipes: a named model with its encoders, similarity, loss and training settings, as plain data.

A recipe holds registry names and JSON values only, never an import path, so that it can be listed without
importing a model and stored in a checkpoint without trusting it. Imports nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vsezoo.errors import RecipeError, suggest_name

PART_KINDS = ("image_encoder", "text_encoder", "similarity", "loss")
"""The fields of a recipe that name a registered part."""


@dataclass(frozen=True)
class Part:
    """A registered part and the options that its constructor gets."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How a model is trained. The defaults are those of VSE++ (Faghri et al. 2018)."""

    learning_rate: float = 2e-4
    lr_update: int = 15  # epochs between two steps of the schedule
    lr_decay: float = 0.1  # what each step multiplies the learning rate by
    num_epochs: int = 30
    batch_size: int = 128  # captions in a batch, over all processes
    grad_clip: float = 2.0  # largest global L2 norm of the gradient; 0 leaves it as it is
    val_step: int = 500  # steps between two validations inside an epoch; 0: none
    val_epoch: bool = True  # validate after each epoch; after the last one in any case
    criterion: str = "rsum"  # what the best checkpoint is chosen by, on the dev split
    select_mid_epoch: bool = False  # may a validation inside an epoch give the best checkpoint (VSRN)
    precision: str = "fp32"  # or bf16: autocast, with parameters kept in float32
    seed: int = 0
    optimizer: str = "adam"  # or theano_adam, whose first steps are longer (Kiros 2014; order-embeddings)
    weight_decay: float = 0.0  # w adds w · Σ θ² to the loss before the gradient is clipped (Kiros' decay_c)
    decay_biases: bool = True  # does weight_decay take in the biases
    clip_per_tensor: bool = False  # grad_clip limits each parameter's gradient by itself (order-embeddings)
    batches: str = "captions"  # lengths: one caption length in a batch; images: one random caption of each image
    last_batch: str = "keep"  # drop: an epoch leaves its last batch out, full or not (order-embeddings)
    max_words: int = 0  # captions of more words are left out of the training; 0: none are (Kiros' maxlen_w)
    patience: int = 0  # validations in a row without a better score that end the training; 0: none do (linxd5)
    log_step: int = 10  # steps between two records of the loss

    def __post_init__(self) -> None:
        for name in ("num_epochs", "batch_size", "lr_update", "log_step"):
            if getattr(self, name) < 1:
                raise RecipeError(f"training.{name} is {getattr(self, name)}; it must be at least 1.")
        for name in ("grad_clip", "val_step", "seed", "weight_decay", "max_words", "patience"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"training.{name} is {getattr(self, name)}; it must not be negative.")
        if self.seed >= SEEDS:
            raise RecipeError(f"training.seed is {self.seed}; it must be below 2**64.")
        if not 0 < self.learning_rate < math.inf:
            raise RecipeError(f"training.learning_rate is {self.learning_rate}; it must be above 0.")
        if not 0 < self.lr_decay <= 1:
            raise RecipeError(f"training.lr_decay is {self.lr_decay}; it must be above 0 and at most 1.")
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise RecipeError(
                    f"training.{name} is {value!r}; it must be one of {', '.join(choices)}.",
                    remedy=suggest_name(value, choices),
                )


CHOICES = {
    "precision": ("fp32", "bf16"),
    "optimizer": ("adam", "theano_adam"),
    "batches": ("captions", "lengths", "images"),
    "last_batch": ("keep", "drop"),
}
"""The words that a field of `Training` may hold."""
SEEDS = 2**64  # how many seeds torch's generator knows
TRAINING_FIELDS = tuple(field.name for field in dataclasses.fields(Training))


@dataclass(frozen=True)
class Override:
    """Settings that a recipe changes for one data set, and why."""

    settings: Mapping[str, Any]  # dotted names as in `Recipe.replace`
    reason: str


@dataclass(frozen=True)
class Paper:
    """The paper that a model comes from."""

    title: str
    authors: str
    year: int
    venue: str
    url: str = ""


@dataclass(frozen=True)
class PublishedResult:
    """Figures printed by others, with their source. Recalls in percent; None where none was printed."""

    data: str
    i2t: tuple[float | None, float | None, float | None]  # R@1, R@5, R@10
    t2i: tuple[float | None, float | None, float | None]
    source: str
    i2t_medr: float | None = None
    t2i_medr: float | None = None
    features: str = ""
    protocol: str = "full"


@dataclass(frozen=True)
class Recipe:
    """A named model: its parts, its training settings, and what is known about it."""

    name: str
    summary: str
    image_encoder: Part
    text_encoder: Part
    similarity: Part
    loss: Part
    embed_size: int = 1024  # width of the joint embedding
    training: Training = field(default_factory=Training)
    overrides: Mapping[str, Override] = field(default_factory=dict)  # by name of the data set
    paper: Paper | None = None
    published: tuple[PublishedResult, ...] = ()

    def __post_init__(self) -> None:
        if self.embed_size < 1:
            raise RecipeError(f"embed_size is {self.embed_size}; it must be at least 1.")

    def replace(self, settings: Mapping[str, Any]) -> Recipe:
        """Return a copy with the settings of dotted names changed, in their order.

        `loss.margin` sets an option of a part, `loss` the name of the part (which drops the options of the
        one before), `training.batch_size` and `embed_size` a field.

        Raises:
            RecipeError: for a name that is no field, or a value of the wrong type.
        """
        recipe = self
        for name, value in settings.items():
            recipe = recipe._set(name, value)
        return recipe

    def _set(self, name: str, value: Any) -> Recipe:
        head, dot, tail = name.partition(".")
        if head in PART_KINDS:
            part: Part = getattr(self, head)
            if not dot:
                if not isinstance(value, str):
                    raise RecipeError(f"{head} is {value!r}; it must be the name of a registered part.")
                changed = part if part.name == value else Part(value)
            else:
                changed = Part(part.name, {**part.options, tail: value})
            return self._with(head, changed)
        if head == "training" and tail in TRAINING_FIELDS:
            value = _convert(Training, tail, value, "training.")
            changes: dict[str, Any] = {tail: value}
            return self._with("training", dataclasses.replace(self.training, **changes))
        if head == "embed_size" and not dot:
            return self._with("embed_size", _convert(Recipe, "embed_size", value))
        known = [*PART_KINDS, *(f"{kind}.OPTION" for kind in PART_KINDS), "embed_size"]
        known += [f"training.{field}" for field in TRAINING_FIELDS]
        raise RecipeError(
            f"{name!r} is not a setting of a recipe.",
            remedy=suggest_name(name, known, f"Settings: {', '.join(known)}."),
        )

    def _with(self, name: str, value: Any) -> Recipe:
        changes: dict[str, Any] = {name: value}
        return dataclasses.replace(self, **changes)

    def for_data(self, data: str) -> Recipe:
        """Return the recipe with its overrides for the data set of this name, if it has any."""
        override = self.overrides.get(data)
        return self if override is None else self.replace(override.settings)

    def to_json(self) -> dict[str, Any]:
        """Return what builds and trains the model, as JSON values: the form that a checkpoint stores."""
        parts = {
            kind: {"name": part.name, "options": dict(part.options)}
            for kind, part in ((kind, getattr(self, kind)) for kind in PART_KINDS)
        }
        return {
            "name": self.name,
            "summary": self.summary,
            **parts,
            "embed_size": self.embed_size,
            "training": dataclasses.asdict(self.training),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read what `to_json` wrote; a field that is absent or not known is an error."""
        fields = {"name", "summary", *PART_KINDS, "embed_size", "training"}
        _require_keys("recipe", value, fields)
        parts: dict[str, Any] = {}
        for kind in PART_KINDS:
            _require_keys(f"recipe.{kind}", value[kind], {"name", "options"})
            name, options = value[kind]["name"], value[kind]["options"]
            if not isinstance(name, str) or not isinstance(options, Mapping):
                raise RecipeError(f"recipe.{kind} must have a name and an object of options.")
            parts[kind] = Part(name, dict(options))
        # What an earlier version did not know yet has its default, under which nothing was done.
        _require_keys("recipe.training", value["training"], TRAINING_FIELDS, all_of_them=False)
        training = {name: _convert(Training, name, setting, "training.") for name, setting in value["training"].items()}
        return cls(
            name=_convert(cls, "name", value["name"]),
            summary=_convert(cls, "summary", value["summary"]),
            embed_size=_convert(cls, "embed_size", value["embed_size"]),
            training=Training(**training),
            **parts,
        )


def _require_keys(place: str, value: Any, fields: Iterable[str], *, all_of_them: bool = True) -> None:
    expected = set(fields)
    if not isinstance(value, Mapping):
        raise RecipeError(f"{place} is not an object.")
    unknown, absent = sorted(set(value) - expected), sorted(expected - set(value))
    if unknown:
        raise RecipeError(f"{place} has the unknown field {unknown[0]!r}.", remedy=suggest_name(unknown[0], expected))
    if absent and all_of_them:
        raise RecipeError(f"{place} lacks the field {absent[0]!r}.")


_read_types = functools.cache(typing.get_type_hints)
"""The declared types of the fields of a class; to work them out is slow."""


def _convert(owner: type, name: str, value: Any, prefix: str = "") -> Any:
    """Return the value as the declared type of the field, so that 1 is accepted for 1.0 but "x" is not."""
    wanted = _read_types(owner)[name]
    allowed = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if float in allowed and type(value) is int and abs(value) < sys.float_info.max:
        return float(value)
    if any(type(value) is option for option in allowed):
        return value
    names = " or ".join(option.__name__ for option in allowed)
    raise RecipeError(f"{prefix}{name} is {value!r}; it must be of type {names}.")
