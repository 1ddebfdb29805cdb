"""Options of Kiros' release and of the codebases made after it: they become settings of a recipe, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo.construction import build_loss
from vsezoo.conversion.files import show
from vsezoo.conversion.importer import Imported
from vsezoo.errors import CheckpointError, RecipeError, UsageError, list_names
from vsezoo.model import JointEmbedding
from vsezoo.parts import load_part, resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.text import WordTokenizer

SETTINGS = {
    "margin": "loss.margin",
    "ncon": "loss.ncon",
    "dim": "embed_size",
    "dim_image": "image_encoder.img_dim",
    "dim_word": "text_encoder.word_dim",
    "max_epochs": "training.num_epochs",
    "decay_c": "training.weight_decay",
    "grad_clip": "training.grad_clip",
    "maxlen_w": "training.max_words",
    "batch_size": "training.batch_size",
    "validFreq": "training.val_step",
    "lrate": "training.learning_rate",
}
"""The setting of a recipe that each option is."""

NOTED = ("data", "dispFreq", "n_words", "reload_", "saveto")
"""Options that say nothing about the model, or are compared with it."""

WRITTEN = {
    "image_encoder.normalize": True,
    "image_encoder.center": False,
    "image_encoder.pool": "none",
    "text_encoder.normalize": True,
    "text_encoder.num_layers": 1,
    "text_encoder.bidirectional": False,
    "text_encoder.words": "split",
}
"""Settings of which these codebases have no choice."""

FETCH = "Give the options that were written with these weights."


def require_options(value: Any, file: Path) -> dict[str, Any]:
    """Return the options that a file holds.

    Raises:
        CheckpointError: for anything else than plain values by their names, or without the widths of the model.
    """
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise CheckpointError("holds no dictionary of options.", file=file, remedy=FETCH)
    for name, option in value.items():
        if not isinstance(option, str | int | float | None):
            raise CheckpointError(
                f"has the option {show(repr(name))} of type {type(option).__name__}; options are numbers and strings.",
                file=file,
                remedy=FETCH,
            )
    for name in ("dim", "dim_image", "dim_word", "n_words"):
        if name not in value:
            raise CheckpointError(f"has no option {name!r}.", file=file, remedy=FETCH)
        if type(value[name]) is not int or value[name] < 1:
            raise CheckpointError(
                f"has the option {name}={show(repr(value[name]))}; it must be a whole number above 0.",
                file=file,
                remedy=FETCH,
            )
    return dict(value)


def choose_option(options: Mapping[str, Any], name: str, choices: tuple[Any, ...], file: Path) -> Any:
    """Return an option that has few values, the first of them where it is absent.

    Raises:
        CheckpointError: for another value.
    """
    value = options.get(name, choices[0])
    if value not in choices:
        raise CheckpointError(
            f"has the option {name}={show(repr(value))}, which cannot be expressed here; "
            f"what can: {', '.join(map(repr, choices))}.",
            file=file,
            remedy="Use the code that wrote it.",
        )
    return value


def apply_options(recipe: Recipe, options: Mapping[str, Any], noted: Collection[str], file: Path) -> Recipe:
    """Return the recipe with the options as its settings.

    Args:
        recipe: that of the codebase.
        options: as `require_options` returns them.
        noted: options that say nothing about the model, or are dealt with elsewhere.
        file: for the message.

    Raises:
        CheckpointError: for an option that is unknown, or a value that the setting cannot have.
    """
    for name, value in options.items():
        if name in noted:
            continue
        if name not in SETTINGS:
            raise CheckpointError(
                f"has the option {show(repr(name))}, which this format does not have: what it means is not known.",
                file=file,
                remedy="If it says nothing about the model, remove it from the file.",
            )
        try:
            recipe = recipe.replace({SETTINGS[name]: value})
        except RecipeError as error:
            raise _describe_refusal(name, value, error, file) from error
    try:
        recipe = resolve_recipe(recipe)
        build_loss(recipe, WordTokenizer())
    except RecipeError as error:
        name = next((name for name in options if SETTINGS.get(name, "?") in error.problem), "")
        raise _describe_refusal(name, options.get(name), error, file) from error
    return recipe


def _describe_refusal(name: str, value: Any, error: RecipeError, file: Path) -> CheckpointError:
    option = f"the option {name}={show(repr(value))}" if name else "an option"
    return CheckpointError(f"has {option}, which cannot be expressed here. {error.problem}", file=file, remedy=FETCH)


def require_tensors(weights: Any, shapes: Mapping[str, tuple[int, ...]], file: Path) -> dict[str, Tensor]:
    """Return weights as float32 tensors, by the names that they have.

    Args:
        weights: a dictionary of arrays or tensors.
        shapes: by the names of all of them.
        file: for the message.

    Raises:
        CheckpointError: for weights of other names or shapes than the options want.
    """
    remedy = "The weights and the options do not belong together, or the file is damaged: fetch them again."
    if not isinstance(weights, dict):
        raise CheckpointError("holds no arrays by their names.", file=file, remedy="Give the file of the weights.")
    for words, names in (("lacks", shapes.keys() - weights.keys()), ("has the extra", weights.keys() - shapes.keys())):
        if names:
            listing = list_names(sorted(map(str, names)), 5)
            raise CheckpointError(f"{words} array{'s' * (len(names) > 1)} {show(listing)}.", file=file, remedy=remedy)
    tensors = {}
    for name, shape in shapes.items():
        array = weights[name]
        floats = (
            array.dtype.kind == "f"
            if isinstance(array, np.ndarray)
            else torch.is_tensor(array) and array.is_floating_point()
        )
        if not floats:
            raise CheckpointError(f"has no array of floating-point numbers in {name}.", file=file, remedy=remedy)
        if tuple(array.shape) != shape:
            raise CheckpointError(
                f"has the array {name} of shape {tuple(array.shape)} where the options want {shape}.",
                file=file,
                remedy=remedy,
            )
        tensors[name] = torch.as_tensor(array, dtype=torch.float32)
    return tensors


def make_imported(
    recipe: Recipe, tokenizer: WordTokenizer, tensors: Mapping[str, Tensor], options: Mapping[str, Any], data: Any
) -> Imported:
    """Return what was read: the recipe with the habit of the tokenizer, the data, and all options for the record.

    Args:
        recipe: as `apply_options` returns it.
        tokenizer: of the model.
        tensors: by the names that the model gives them.
        options: as the file has them.
        data: the name of the training data, if it is one.
    """
    return Imported(
        recipe.replace({"text_encoder.off_by_two": tokenizer.off_by_two}),
        tokenizer,
        tensors,
        data={
            **({"name": data} if data and isinstance(data, str) else {}),
            "kind": "vector",
            "image_shape": [options["dim_image"]],
        },
        notes={"options": dict(options)},
    )


def list_options(model: JointEmbedding) -> dict[str, Any]:
    """Return the settings of a model as options, as far as these codebases have them."""
    recipe = model.recipe
    settings = {"embed_size": recipe.embed_size}
    settings |= {f"training.{name}": value for name, value in vars(recipe.training).items()}
    for kind in ("image_encoder", "text_encoder", "loss"):
        settings |= {f"{kind}.{name}": value for name, value in getattr(recipe, kind).options.items()}
    options = {name: settings[setting] for name, setting in SETTINGS.items() if setting in settings}
    if not options.get("ncon"):  # an option of the first release, which the later ones do not have
        options.pop("ncon", None)
    # A bag of words may say 0 for the width of the joint embedding.
    options["dim_word"] = options["dim_word"] or recipe.embed_size
    return {**options, "dispFreq": recipe.training.log_step, "n_words": len(model.tokenizer)}


def require_settings(
    model: JointEmbedding, codebase: str, parts: Mapping[str, tuple[type, ...]], settings: Mapping[str, Any]
) -> None:
    """Refuse a model that a codebase does not have.

    Args:
        model: to be written.
        codebase: its name, for the message.
        parts: the classes that each part may have.
        settings: beside `WRITTEN`, and the value that each must have if the part has such an option.

    Raises:
        UsageError: with the first setting that differs.
    """
    remedy = f"Choose another format, or a model that {codebase} has."
    for kind, classes in parts.items():
        if load_part(model.recipe, kind) not in classes:
            name = getattr(model.recipe, kind).name
            raise UsageError(f"{codebase} has no {kind} {name!r}.", remedy=remedy)
    for setting, wanted in {**WRITTEN, **settings}.items():
        kind, _, option = setting.partition(".")
        value = getattr(model.recipe, kind).options.get(option, wanted)
        if value != wanted:
            raise UsageError(f"{codebase} has no {setting}={value!r}, only {wanted!r}.", remedy=remedy)
