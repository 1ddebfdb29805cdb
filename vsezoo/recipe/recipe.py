"""A recipe: the parts of a named model and its training settings, and how settings change them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from vsezoo.errors import RecipeError, suggest_name
from vsezoo.recipe.declared import Option
from vsezoo.recipe.options import AtLeast
from vsezoo.recipe.part import PART_KINDS, TRAINING_PARTS, Part
from vsezoo.recipe.published import Paper, PublishedResult
from vsezoo.recipe.settings import TRAINING_FIELDS, TrainingSettings
from vsezoo.recipe.signatures import read_options
from vsezoo.recipe.values import require_keys

EARLIER = {
    "training.optimizer": "optimizer",
    "training.lr_update": "schedule.every",
    "training.lr_decay": "schedule.factor",
}
"""Names of settings in API version 1, and their current names."""


def put_parts_first(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the names of parts before options, which a part that replaces another would drop."""
    return dict(sorted(settings.items(), key=lambda setting: "." in EARLIER.get(setting[0], setting[0])))


@dataclass(frozen=True)
class Override:
    """Settings that a recipe changes for one data set, and why."""

    settings: Mapping[str, Any]  # dotted names as in `Recipe.replace`
    reason: str


@dataclass(frozen=True, repr=False)
class Recipe:
    """A named model: its parts, its training settings, its paper and published results."""

    name: str
    summary: str
    image_encoder: Part
    text_encoder: Part
    similarity: Part
    loss: Part
    embed_size: Annotated[int | None, AtLeast(1)] = 1024  # width of the joint embedding; None: that of pretrained parts
    training: TrainingSettings = field(default_factory=TrainingSettings)
    overrides: Mapping[str, Override] = field(default_factory=dict)  # by name of the data set
    paper: Paper | None = None
    published: tuple[PublishedResult, ...] = ()
    pretrained: str = ""  # weights shared by the parts: a folder, or hub:org/name[@revision]

    def __post_init__(self) -> None:
        for name in FIELDS:
            FIELDS[name].convert(getattr(self, name), name)

    def __repr__(self) -> str:
        """Return the parts in one line; `to_json` has every setting."""
        parts = ", ".join(f"{kind}={getattr(self, kind).name}" for kind in PART_KINDS)
        return f"<Recipe {self.name}: {parts}, embed_size={self.embed_size}>"

    @property
    def width(self) -> int:
        """The width of the joint embedding.

        Raises:
            RecipeError: if it is unknown until the pretrained weights are opened, see `resolve_recipe`.
        """
        if self.embed_size is None:
            raise RecipeError(
                f"embed_size of {self.name!r} is not set, and no part determines it.",
                remedy="Set it: --embed-size N; or give pretrained weights that determine it: --pretrained REFERENCE.",
            )
        return self.embed_size

    @property
    def optimizer(self) -> Part:
        """The optimiser, one of the training settings."""
        return self.training.optimizer

    @property
    def schedule(self) -> Part:
        """The schedule of the learning rate, one of the training settings."""
        return self.training.schedule

    def replace(self, settings: Mapping[str, Any]) -> Recipe:
        """Return a copy with settings changed by dotted names, in any order: parts first, then their options.

        `loss.margin` sets an option of a part, `loss` the name of the part (and drops its previous options),
        `training.batch_size`, `embed_size` and `pretrained` a field. `optimizer` and `schedule` are set
        like parts.

        Raises:
            RecipeError: for a name that is not a field, or a value of the wrong type.
        """
        recipe = self
        for name, value in put_parts_first(settings).items():
            recipe = recipe._set(name, value)
        return recipe

    def _set(self, name: str, value: Any) -> Recipe:
        head, dot, tail = EARLIER.get(name, name).partition(".")
        if head in KINDS:
            part: Part = getattr(self, head)
            if not dot:
                if not isinstance(value, str):
                    raise RecipeError(f"{head} is {value!r}; it must be the name of a registered part.")
                changed = part if part.name == value else Part(value)
            else:
                changed = Part(part.name, {**part.options, tail: value})
            return self.with_field(head, changed)
        if head == "training" and tail in TRAINING_FIELDS:
            changes: dict[str, Any] = {tail: value}
            return self.with_field("training", dataclasses.replace(self.training, **changes))
        if head in FIELDS and not dot:
            return self.with_field(head, value)
        known = [*KINDS, *(f"{kind}.OPTION" for kind in KINDS), *FIELDS]
        known += [f"training.{field}" for field in TRAINING_FIELDS]
        raise RecipeError(
            f"{name!r} is not a setting of a recipe.",
            remedy=suggest_name(name, known, f"`vsezoo show {self.name}` lists all."),
        )

    def with_field(self, name: str, value: Any) -> Recipe:
        """Return a copy with another value of a field, such as a part; optimizer and schedule count as fields."""
        changes: dict[str, Any] = {name: value}
        if name in TRAINING_PARTS:
            changes = {"training": dataclasses.replace(self.training, **changes)}
        return dataclasses.replace(self, **changes)

    def for_data(self, data: str) -> Recipe:
        """Return the recipe with its overrides for the data set of this name, if it has any."""
        override = self.overrides.get(data)
        return self if override is None else self.replace(override.settings)

    def to_json(self) -> dict[str, Any]:
        """Return everything needed to build and train the model as JSON values, as stored in checkpoints."""
        parts = {
            kind: {"name": part.name, "options": dict(part.options)}
            for kind, part in ((kind, getattr(self, kind)) for kind in KINDS)
        }
        return {
            "name": self.name,
            "summary": self.summary,
            **parts,
            "embed_size": self.embed_size,
            **({"pretrained": self.pretrained} if self.pretrained else {}),
            "training": {name: getattr(self.training, name) for name in TRAINING_FIELDS},
        }

    def flatten(self) -> dict[str, Any]:
        """Return all settings by dotted names, as `replace` takes them."""
        value = self.to_json()
        settings = {name: value[name] for name in FIELDS if name in value}
        for kind in KINDS:
            settings[kind] = value[kind]["name"]
            settings |= {f"{kind}.{name}": option for name, option in value[kind]["options"].items()}
        return settings | {f"training.{name}": setting for name, setting in value["training"].items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Recipe:
        """Read the output of `to_json` of this version or an earlier one; an unknown field is an error."""
        fields = ("name", "summary", *PART_KINDS, "embed_size", "training")
        require_keys("recipe", value, fields, optional=(*TRAINING_PARTS, "pretrained"))
        parts: dict[str, Any] = {}
        for kind in filter(value.__contains__, KINDS):
            require_keys(f"recipe.{kind}", value[kind], {"name", "options"})
            name, options = value[kind]["name"], value[kind]["options"]
            if not isinstance(name, str) or not isinstance(options, Mapping):
                raise RecipeError(f"recipe.{kind} must have a name and an object of options.")
            parts[kind] = Part(name, dict(options))
        # Fields that an earlier version did not have get their defaults, which change nothing.
        earlier = [name.partition(".")[2] for name in EARLIER]
        require_keys("recipe.training", value["training"], optional=(*TRAINING_FIELDS, *earlier))
        chosen = {kind: parts.pop(kind) for kind in TRAINING_PARTS if kind in parts}
        return cls(
            **{name: Option(name, "", str).convert(value[name], name) for name in ("name", "summary")},
            embed_size=value["embed_size"],
            pretrained=value.get("pretrained", ""),
            training=TrainingSettings(**{**value["training"], **chosen}),
            **parts,
        )


KINDS = (*PART_KINDS, *TRAINING_PARTS)
FIELDS = {name: option for name, option in read_options(Recipe).items() if name in ("embed_size", "pretrained")}
"""The fields that are settings themselves."""
