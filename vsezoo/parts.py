"""The registered parts of a recipe: their classes, their options, and how settings change them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.errors import DataError, RecipeError, VsezooError, suggest_name
from vsezoo.interfaces import ImageEncoder, PairDataset, TextEncoder, Tokenizer, Weights
from vsezoo.recipe import PART_KINDS, TRAINING_PARTS, Part, Recipe
from vsezoo.recipe.declared import Option
from vsezoo.recipe.file import is_recipe_file, read_recipe
from vsezoo.recipe.part import GROUPS
from vsezoo.recipe.recipe import put_parts_first
from vsezoo.recipe.signatures import read_options

GIVEN_BY_VSEZOO = ("embed_size", "tokenizer")
"""Arguments of a part's constructor that are not options."""
GIVEN = {
    **dict.fromkeys(PART_KINDS, GIVEN_BY_VSEZOO),
    "optimizer": ("groups", "learning_rate"),
    "schedule": ("step", "epoch", "steps_per_epoch", "num_epochs"),
}
"""The same by the field of a recipe."""


def load_recipe(model: str | Path) -> Recipe:
    """Return the recipe of a registered model or of a recipe file, whose name ends in `.json`.

    Options that have their default in the file are left unset, so that the data may decide them.

    Raises:
        UnknownNameError, ConflictError: for a model that is not registered, or by several distributions.
        UsageError: for a file that cannot be read, or something in it that is not a recipe; it names the file.
    """
    if not is_recipe_file(model):
        registered: Recipe = registry.load("models", str(model))
        return registered
    try:
        recipe, defaults = read_recipe(Path(model))
        for name, value in defaults.items():
            kind, _, option = name.partition(".")
            known = list_options(load_part(recipe, kind), getattr(recipe, kind).options, GIVEN[kind])
            if option not in known or known[option].default != value:  # another version's default
                recipe = recipe.replace({name: value})
        check_recipe(recipe)
        return recipe
    except VsezooError as error:
        if error.file is not None:
            raise
        raise type(error)(error.problem, file=model, remedy=error.remedy) from error


def expand_parts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with `NAME:ARGUMENT` for a part replaced by its name and its option `model`, parts first.

    `{"text_encoder": "hf:bert-base-uncased"}` becomes `{"text_encoder": "hf", "text_encoder.model":
    "bert-base-uncased"}`.

    Raises:
        ConflictError: for a name that several distributions register.
    """
    expanded: dict[str, Any] = {}
    for setting, value in put_parts_first(settings).items():
        name, argument = value, None
        if setting in GROUPS and isinstance(value, str):
            name, argument = registry.split_argument(GROUPS[setting], value)
        expanded[setting] = name
        if argument is not None:
            expanded[f"{setting}.model"] = argument
    return expanded


def change_recipe(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe with a user's settings, by dotted names, in any order.

    An image encoder that replaces another may keep some of its options, if it defines `replace_part`.

    Raises:
        RecipeError: for a name that is not a setting, or a value of the wrong type.
        UnknownNameError, ConflictError: for an image encoder that is not registered, or by several distributions.
    """
    for name, value in expand_parts(settings).items():
        before, recipe = recipe.image_encoder, recipe.replace({name: value})
        if name == "image_encoder" and recipe.image_encoder.name != before.name:
            encoder = load_part(recipe, "image_encoder")
            kept: dict[str, Any] = encoder.replace_part(before) if hasattr(encoder, "replace_part") else {}
            recipe = recipe.replace({f"image_encoder.{option}": setting for option, setting in kept.items()})
    return recipe


def load_part(recipe: Recipe, kind: str) -> Any:
    """Return the registered class or function of a part, such as `image_encoder` or `schedule`."""
    return registry.load(GROUPS[kind], getattr(recipe, kind).name)


def load_text_encoder(recipe: Recipe) -> type[TextEncoder]:
    """Return the registered class of the text encoder."""
    encoder: type[TextEncoder] = load_part(recipe, "text_encoder")
    return encoder


def make_tokenizer(recipe: Recipe, weights: Weights | None = None) -> Tokenizer:
    """Return the tokenizer of a resolved recipe, not yet fitted.

    Args:
        recipe: names the text encoder.
        weights: the pretrained weights of the recipe, if it has any.
    """
    encoder, options = load_text_encoder(recipe), recipe.text_encoder.options
    return encoder.make_tokenizer(options) if weights is None else encoder.read_pretrained_tokenizer(options, weights)


def accepted_kinds(recipe: Recipe) -> tuple[str, ...]:
    """Return the forms of image that the recipe's image encoder takes."""
    encoder: type[ImageEncoder] = load_part(recipe, "image_encoder")
    return encoder.accepted_kinds(recipe.image_encoder.options)


def check_recipe(recipe: Recipe) -> None:
    """Load the parts of a recipe and check their options, without its overrides and with those of each data set.

    Raises:
        UnknownNameError, ConflictError, PluginError: for a part that cannot be loaded.
        RecipeError: for an unknown option or an invalid value, or for parts that differ in width.
    """
    for changed in (recipe, *map(recipe.for_data, recipe.overrides)):
        resolve_recipe(changed)


def resolve_recipe(
    recipe: Recipe, data: PairDataset | None = None, weights: Weights | None = None, *, training: bool = True
) -> Recipe:
    """Fill in every option of every part: the given value, else that of weights or data, else the default.

    Args:
        recipe: with some options.
        data: the training split; None: nothing is known about the data.
        weights: the pretrained weights of the recipe; None: it has none, or they have not been opened.
        training: also fill in those of optimizer and schedule, which a trained model does not need.

    Raises:
        RecipeError: for an unknown option or an invalid value, or for parts that differ in width.
        UnknownNameError: for a part that is not registered.
        DataError: for data of a kind that the image encoder does not take.
    """
    for kind in (*PART_KINDS, *(TRAINING_PARTS if training else ())):
        part: Part = getattr(recipe, kind)
        found = load_part(recipe, kind)
        known = list_options(found, part.options, GIVEN[kind])
        options = check_options(kind, part, known)
        if weights is not None and kind in PART_KINDS:
            options = found.resolve_pretrained(options, weights)
            options = check_options(kind, Part(part.name, options), known)
        if kind == "image_encoder" and data is not None:
            options = found.resolve_options(options, data)
        defaults = {name: option.default for name, option in known.items()}
        recipe = recipe.with_field(kind, Part(part.name, {**part.options, **defaults, **options}))
    if data is not None and data.kind not in (kinds := accepted_kinds(recipe)):
        raise DataError(
            f"The images of {data.name} are of the kind {data.kind!r}; the image encoder {recipe.image_encoder.name!r} "
            f"takes {' or '.join(map(repr, kinds))}.",
            remedy="Choose another model, or other features of the data set.",
        )
    if training and recipe.training.weight_decay and "weight_decay" in recipe.optimizer.options:
        raise RecipeError(
            f"training.weight_decay adds to the loss, but the optimizer {recipe.optimizer.name!r} has its own.",
            remedy="Set optimizer.weight_decay instead, or choose another optimizer.",
        )
    return _resolve_width(recipe)


def _resolve_width(recipe: Recipe) -> Recipe:
    """Fill in `embed_size` if the parts decide it.

    Raises:
        RecipeError: for parts of several widths, or of another width than that of the recipe.
    """
    widths = {kind: load_part(recipe, kind).native_width(getattr(recipe, kind).options) for kind in PART_KINDS}
    native = {kind: width for kind, width in widths.items() if width is not None}
    named = [f"{kind} {getattr(recipe, kind).name!r} has the width {width}" for kind, width in native.items()]
    if recipe.embed_size is not None:
        named.append(f"embed_size is {recipe.embed_size}")
    known = {*native.values(), *([] if recipe.embed_size is None else [recipe.embed_size])}
    if native and len(known) > 1:
        raise RecipeError(
            f"{recipe.name!r} would have several widths: {', '.join(named)}.",
            remedy="Set embed_size to null, or choose parts of one width.",
        )
    return recipe.replace({"embed_size": known.pop()}) if native else recipe


def list_options(
    part: Callable[..., Any], options: Mapping[str, Any] | None = None, given: Collection[str] = GIVEN_BY_VSEZOO
) -> dict[str, Option]:
    """Return the options that a part declares, in the order of its constructor, then those of its base classes.

    Args:
        part: its class or function.
        options: the given options, on which those of some image encoders depend; None: none.
        given: its parameters that are not options.
    """
    own = read_options(part, given)
    more: Mapping[str, Any] = part.more_options(options or {}) if hasattr(part, "more_options") else {}
    for name, value in more.items():
        own.setdefault(name, value if isinstance(value, Option) else Option(name, value))
    return own


def check_options(kind: str, part: Part, known: Mapping[str, Option]) -> dict[str, Any]:
    """Return the given options of a part, converted to their types.

    Args:
        kind: the part's field of a recipe, for the message.
        part: the part with its options.
        known: output of `list_options`.

    Raises:
        RecipeError: for an unknown option or an invalid value.
    """
    for name in part.options:
        if name not in known:
            listing = ", ".join(known) or "none"
            raise RecipeError(
                f"{kind} {part.name!r} has no option {name!r}.",
                remedy=suggest_name(name, known, f"Options: {listing}."),
            )
    return {name: known[name].convert(value, f"{kind}.{name}") for name, value in part.options.items()}
