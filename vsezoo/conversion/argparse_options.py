"""Convert options of VSE++ and derived codebases, an `argparse.Namespace`, to settings of a recipe, and back.

Settings of a recipe that the Namespace cannot express, such as a warm-up of the loss, may only concern training. They
are written as an additional option, `vsezoo`, which the originals ignore.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from vsezoo.construction import build_loss
from vsezoo.conversion.files import show
from vsezoo.errors import CheckpointError, UsageError, VsezooError
from vsezoo.parts import load_part, resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.unfilled import without_memory
from vsezoo.text import WordTokenizer

SETTINGS: dict[str, tuple[str, ...]] = {
    "embed_size": ("embed_size",),
    "word_dim": ("text_encoder.word_dim",),
    "num_layers": ("text_encoder.num_layers",),
    "use_abs": ("image_encoder.use_abs", "text_encoder.use_abs"),
    "measure": ("similarity",),
    "margin": ("loss.margin",),
    "max_violation": ("loss.max_violation",),
    "num_epochs": ("training.num_epochs",),
    "batch_size": ("training.batch_size",),
    "learning_rate": ("training.learning_rate",),
    "lr_update": ("schedule.every",),
    "grad_clip": ("training.grad_clip",),
    "val_step": ("training.val_step",),
    "log_step": ("training.log_step",),
}
"""Maps each option to settings of a recipe."""

UNSCALED, SCALED = "no_imgnorm", "image_encoder.normalize"
"""The option with the opposite meaning of its setting, and the setting."""

DEFAULTS = {"measure": "cosine", "max_violation": False, "use_abs": False, UNSCALED: False}
"""Defaults of absent options of the loss and the model."""

MEASURES = ("cosine", "order")

NOTED = ("data_name", "data_path", "logger_name", "resume", "use_restval", "vocab_path", "vocab_size", "workers")
"""Options that do not affect the model: data set, paths, reading of files."""

MORE = "vsezoo"
"""The option with settings that the originals do not have, as JSON."""

TRAINING_ALONE = (
    "image_encoder.cnn_mode",
    "image_encoder.crop_size",
    "image_encoder.dropout",
    "image_encoder.finetune_epoch",
    "image_encoder.init",
    "image_encoder.learning_rate_scale",
    "image_encoder.normalize_in_training",
    "image_encoder.size_augmentation",
    "image_encoder.store_weights",
    "image_encoder.vary_augmentation",
    "image_encoder.weights",
    "loss",
    "optimizer",
    "schedule",
    "similarity.batch_statistics",
    "similarity.statistics_order",
    "text_encoder.backward_reads",  # only for a bidirectional network, which the originals do not have
    "text_encoder.dropout",
    "text_encoder.finetune",
    "text_encoder.init",
    "text_encoder.learning_rate_scale",
    "text_encoder.size_augmentation",
    "text_encoder.store_weights",
    "text_encoder.vocab_threshold",
    "text_encoder.word_dropout",
)
"""Settings that do not affect a trained model, in addition to those of the loss and of training."""

REMEDY = "Use the code that wrote it."


def apply_options(
    recipe: Recipe,
    options: Mapping[str, Any],
    settings: Mapping[str, tuple[str, ...]],
    noted: Collection[str],
    file: Path,
) -> Recipe:
    """Return the resolved recipe with the options as its settings.

    Args:
        recipe: a recipe with the parts of the codebase.
        options: the options in the file.
        settings: settings of further options, in addition to `SETTINGS`.
        noted: options that do not affect the model or are handled elsewhere, in addition to `NOTED`.
        file: the file, for the message.

    Raises:
        CheckpointError: for an unknown option or an unsupported value.
    """
    known = {**SETTINGS, **settings}
    changes = {
        name: _find_changes(name, value, known, file)
        for name, value in {**DEFAULTS, **options}.items()
        if name not in NOTED and name not in noted
    }
    changed = recipe
    try:
        for own in changes.values():
            changed = changed.replace(own)
        return _resolve(changed)
    except VsezooError:  # of one of them, or of their order: each is checked, which takes longer
        pass
    for name, own in changes.items():
        try:
            recipe = _resolve(recipe.replace(own))
        except VsezooError as error:
            value = {**DEFAULTS, **options}[name]
            raise CheckpointError(
                f"has the option {show(name)}={show(repr(value))}, which is not supported. {error.problem}",
                file=file,
                remedy=REMEDY,
            ) from error
    return recipe


def _find_changes(name: str, value: Any, known: Mapping[str, tuple[str, ...]], file: Path) -> dict[str, Any]:
    """Return the settings of an option."""
    if name == UNSCALED and type(value) is bool:
        return {SCALED: not value}
    if name == MORE:
        return _read_more(value, file)
    if name == "measure":
        require_choice(name, value, MEASURES, file)
    if not known.get(name):
        raise CheckpointError(
            f"has the option {show(name)}={show(repr(value))}, whose effect on the model is unknown.",
            file=file,
            remedy=f"If it has none: --option ignore={show(name)}",
        )
    return dict.fromkeys(known[name], value)


def _resolve(recipe: Recipe) -> Recipe:
    """Return the resolved recipe, from which a loss can be built."""
    resolved = resolve_recipe(recipe)
    with without_memory():  # a file may ask for any width
        build_loss(resolved, WordTokenizer())
    return resolved


def require_choice(name: str, value: Any, choices: Collection[Any], file: Path) -> None:
    """Check that the value of an option is supported.

    Raises:
        CheckpointError: unless it is one of the choices.
    """
    if value not in choices:
        raise CheckpointError(
            f"has the option {name}={show(repr(value))}; supported values: {' or '.join(map(repr, choices))}.",
            file=file,
            remedy=REMEDY,
        )


def list_options(
    recipe: Recipe,
    settings: Mapping[str, tuple[str, ...]],
    codebase: str,
    similarities: Collection[str] = MEASURES,
) -> dict[str, Any]:
    """Return a resolved recipe as options: those of `SETTINGS`, `settings` and `NOTED`.

    Args:
        recipe: the recipe of the model to export.
        settings: settings of further options, in addition to `SETTINGS`.
        codebase: name of the codebase, for the message.
        similarities: those of the codebase.

    Raises:
        UsageError: for a similarity that the codebase does not have.
    """
    if recipe.similarity.name not in similarities:
        raise _refuse(codebase, f"similarity {recipe.similarity.name!r}")
    held = recipe.flatten()
    return {
        **dict.fromkeys(NOTED, ""),
        "workers": 0,
        "use_restval": False,
        # Other options of a loss, which the original does not have, are recorded in `MORE`.
        "margin": 0.2,
        "max_violation": True,
        **{name: held[own[0]] for name, own in {**SETTINGS, **settings}.items() if own[0] in held},
        UNSCALED: not held.get(SCALED, True),
    }


def list_more(recipe: Recipe, written: Recipe, codebase: str) -> dict[str, str]:
    """Return the option `MORE` with the settings that the other options cannot express, or nothing.

    Args:
        recipe: the resolved recipe of the model.
        written: the result of `apply_options` for the other options.
        codebase: name of the codebase, for the message.

    Raises:
        UsageError: for such a setting that affects the model.
    """
    for kind in ("image_encoder", "text_encoder", "similarity"):
        if load_part(recipe, kind) is not load_part(written, kind):
            raise _refuse(codebase, f"{kind} {getattr(recipe, kind).name!r}")
    own, expressed = recipe.flatten(), written.flatten()
    another_loss = own["loss"] != expressed["loss"]
    more = {}
    for name, value in own.items():
        if name in ("image_encoder", "text_encoder", "similarity"):
            continue  # another name of the same class
        if expressed.get(name) == value and not (another_loss and name.startswith("loss")):
            continue
        if not _concerns_training(name):
            raise _refuse(codebase, f"{name}={value!r}, only {expressed.get(name)!r}")
        more[name] = value
    return {MORE: json.dumps(more)} if more else {}


def _read_more(value: Any, file: Path) -> dict[str, Any]:
    try:
        settings = json.loads(value)
        if all(_concerns_training(name) for name in settings):
            return dict(settings)
    except (TypeError, ValueError, RecursionError):
        pass
    raise CheckpointError(f"has the option {MORE}={show(repr(value))}, which is damaged.", file=file, remedy=REMEDY)


def _concerns_training(name: str) -> bool:
    return name in TRAINING_ALONE or name.startswith(("loss.", "optimizer.", "schedule.", "training."))


def _refuse(codebase: str, what: str) -> UsageError:
    return UsageError(
        f"{codebase} does not support {what}.", remedy=f"Choose another format, or a model that {codebase} supports."
    )
