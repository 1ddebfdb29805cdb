"""Convert options of Kiros' release and of codebases derived from it to settings of a recipe, and back."""

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
"""Maps each option to a setting of a recipe."""

NOTED = ("data", "dispFreq", "n_words", "reload_", "saveto")
"""Options that do not affect the model, or are only compared with it."""

WRITTEN = {
    "image_encoder.normalize": True,
    "image_encoder.center": False,
    "image_encoder.pool": "none",
    "text_encoder.normalize": True,
    "text_encoder.num_layers": 1,
    "text_encoder.bidirectional": False,
    "text_encoder.words": "split",
}
"""Settings that are fixed in these codebases."""

FETCH = "Give the options that belong to these weights."


def require_options(value: Any, file: Path) -> dict[str, Any]:
    """Return the options in a file.

    Raises:
        CheckpointError: if they are not plain values by name, or lack the widths of the model.
    """
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise CheckpointError("is not a dictionary of options.", file=file, remedy=FETCH)
    for name, option in value.items():
        if not isinstance(option, str | int | float | None):
            raise CheckpointError(
                f"has the option {show(repr(name))} of type {type(option).__name__}; it must be a number or string.",
                file=file,
                remedy=FETCH,
            )
    for name in ("dim", "dim_image", "dim_word", "n_words"):
        if name not in value:
            raise CheckpointError(f"has no option {name!r}.", file=file, remedy=FETCH)
        if type(value[name]) is not int or value[name] < 1:
            raise CheckpointError(
                f"has the option {name}={show(repr(value[name]))}; it must be a positive integer.",
                file=file,
                remedy=FETCH,
            )
    return dict(value)


def choose_option(options: Mapping[str, Any], name: str, choices: tuple[Any, ...], file: Path) -> Any:
    """Return an option with a fixed set of values, by default the first one.

    Raises:
        CheckpointError: for any other value.
    """
    value = options.get(name, choices[0])
    if value not in choices:
        raise CheckpointError(
            f"has the option {name}={show(repr(value))}, which is not supported; "
            f"supported values: {', '.join(map(repr, choices))}.",
            file=file,
            remedy="Use the code that wrote it.",
        )
    return value


def apply_options(recipe: Recipe, options: Mapping[str, Any], noted: Collection[str], file: Path) -> Recipe:
    """Return the recipe with the options as its settings.

    Args:
        recipe: the recipe of the codebase.
        options: as returned by `require_options`.
        noted: options that do not affect the model or are handled elsewhere.
        file: the file, for the message.

    Raises:
        CheckpointError: for an unknown option or an invalid value.
    """
    for name, value in options.items():
        if name in noted:
            continue
        if name not in SETTINGS:
            raise CheckpointError(
                f"has the option {show(repr(name))}, which is unknown in this format.",
                file=file,
                remedy="If it does not affect the model, remove it from the file.",
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
    return CheckpointError(f"has {option}, which is not supported. {error.problem}", file=file, remedy=FETCH)


def require_tensors(weights: Any, shapes: Mapping[str, tuple[int, ...]], file: Path) -> dict[str, Tensor]:
    """Return weights as float32 tensors by name.

    Args:
        weights: a dictionary of arrays or tensors.
        shapes: the shapes of all weights by name.
        file: the file, for the message.

    Raises:
        CheckpointError: for weights with names or shapes that do not match the options.
    """
    remedy = "The weights and the options do not belong together, or the file is damaged: download them again."
    if not isinstance(weights, dict):
        raise CheckpointError("does not contain arrays by name.", file=file, remedy="Give the file of the weights.")
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
                f"has the array {name} of shape {tuple(array.shape)} where the options require {shape}.",
                file=file,
                remedy=remedy,
            )
        tensors[name] = torch.as_tensor(array, dtype=torch.float32)
    return tensors


def make_imported(
    recipe: Recipe, tokenizer: WordTokenizer, tensors: Mapping[str, Tensor], options: Mapping[str, Any], data: Any
) -> Imported:
    """Return the result: the recipe with the settings of the tokenizer, the data, and all options for the record.

    Args:
        recipe: as returned by `apply_options`.
        tokenizer: the tokenizer of the model.
        tensors: the tensors by their names in the model.
        options: the options in the file.
        data: name of the training data, if known.
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
    """Return the settings of a model as options of these codebases."""
    recipe = model.recipe
    settings = {"embed_size": recipe.embed_size}
    settings |= {f"training.{name}": value for name, value in vars(recipe.training).items()}
    for kind in ("image_encoder", "text_encoder", "loss"):
        settings |= {f"{kind}.{name}": value for name, value in getattr(recipe, kind).options.items()}
    options = {name: settings[setting] for name, setting in SETTINGS.items() if setting in settings}
    if not options.get("ncon"):  # an option that only the first release has
        options.pop("ncon", None)
    # A bag of words may have 0 for the width of the joint embedding.
    options["dim_word"] = options["dim_word"] or recipe.embed_size
    return {**options, "dispFreq": recipe.training.log_step, "n_words": len(model.tokenizer)}


def require_settings(
    model: JointEmbedding, codebase: str, parts: Mapping[str, tuple[type, ...]], settings: Mapping[str, Any]
) -> None:
    """Check that a codebase supports a model.

    Args:
        model: the model to export.
        codebase: name of the codebase, for the message.
        parts: the allowed classes of each part.
        settings: required values of options, in addition to `WRITTEN`, for parts that have them.

    Raises:
        UsageError: with the first setting that differs.
    """
    remedy = f"Choose another format, or a model that {codebase} supports."
    for kind, classes in parts.items():
        if load_part(model.recipe, kind) not in classes:
            name = getattr(model.recipe, kind).name
            raise UsageError(f"{codebase} does not support {kind} {name!r}.", remedy=remedy)
    for setting, wanted in {**WRITTEN, **settings}.items():
        kind, _, option = setting.partition(".")
        value = getattr(model.recipe, kind).options.get(option, wanted)
        if value != wanted:
            raise UsageError(f"{codebase} does not support {setting}={value!r}, only {wanted!r}.", remedy=remedy)
