"""Options of VSE++ and of the codebases made from it, an `argparse.Namespace`: settings of a recipe, and back.

What a recipe has and the Namespace has not, such as a warm-up of the loss, must concern the training alone. It is
written as one more option, `vsezoo`, which the originals do not look at.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from vsezoo.cards.command import flatten
from vsezoo.construction import build_loss
from vsezoo.conversion.files import show
from vsezoo.errors import CheckpointError, UsageError, VsezooError
from vsezoo.parts import load_part, resolve_recipe
from vsezoo.recipe import Recipe
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
"""The settings of a recipe that each option is."""

UNSCALED, SCALED = "no_imgnorm", "image_encoder.normalize"
"""The option that says the opposite of its setting, and the setting."""

DEFAULTS = {"measure": "cosine", "max_violation": False, "use_abs": False, UNSCALED: False}
"""What absent options of the loss and the model mean."""

MEASURES = ("cosine", "order")

NOTED = ("data_name", "data_path", "logger_name", "resume", "use_restval", "vocab_path", "vocab_size", "workers")
"""Options that say nothing about the model: which data it was trained on, where files are, how they are read."""

MORE = "vsezoo"
"""The option with the settings that the originals do not have, as JSON."""

TRAINING_ALONE = (
    "image_encoder.cnn_mode",
    "image_encoder.crop_size",
    "image_encoder.finetune_epoch",
    "image_encoder.init",
    "image_encoder.learning_rate_scale",
    "image_encoder.normalize_in_training",
    "image_encoder.store_weights",
    "image_encoder.weights",
    "loss",
    "optimizer",
    "schedule",
    "text_encoder.backward_reads",  # of a network in both directions, which the originals do not have
    "text_encoder.init",
    "text_encoder.vocab_threshold",
)
"""Settings that a trained model does not depend on, beside those of the loss and of the training."""

REMEDY = "Use the code that wrote it."


def apply_options(
    recipe: Recipe,
    options: Mapping[str, Any],
    settings: Mapping[str, tuple[str, ...]],
    noted: Collection[str],
    file: Path,
) -> Recipe:
    """Return the recipe with the options as its settings, resolved.

    Args:
        recipe: its parts are those of the codebase.
        options: as the file has them.
        settings: that an option is, beside `SETTINGS`.
        noted: options that say nothing about the model, or are dealt with elsewhere, beside `NOTED`.
        file: for the message.

    Raises:
        CheckpointError: for an option that is unknown, or a value that cannot be expressed.
    """
    known = {**SETTINGS, **settings}
    for name, value in {**DEFAULTS, **options}.items():
        if name in NOTED or name in noted:
            continue
        changes = dict.fromkeys(known.get(name, ()), value)
        if name == UNSCALED and type(value) is bool:
            changes = {SCALED: not value}
        elif name == MORE:
            changes = _read_more(value, file)
        elif name == "measure":
            require_choice(name, value, MEASURES, file)
        if not changes and name != MORE:
            raise CheckpointError(
                f"has the option {show(name)}={show(repr(value))}, of which it is not known what it does to the model.",
                file=file,
                remedy=f"If it does nothing to it, say so: --option ignore={show(name)}",
            )
        try:
            recipe = resolve_recipe(recipe.replace(changes))
            # Of no memory: a file may ask for any width.
            with torch.device("meta"):
                build_loss(recipe, WordTokenizer())
        except VsezooError as error:
            raise CheckpointError(
                f"has the option {show(name)}={show(repr(value))}, which cannot be expressed. {error.problem}",
                file=file,
                remedy=REMEDY,
            ) from error
    return recipe


def require_choice(name: str, value: Any, choices: Collection[Any], file: Path) -> None:
    """Refuse an option with a value that cannot be expressed.

    Raises:
        CheckpointError: unless it is one of the choices.
    """
    if value not in choices:
        raise CheckpointError(
            f"has the option {name}={show(repr(value))}; what can be expressed is {' or '.join(map(repr, choices))}.",
            file=file,
            remedy=REMEDY,
        )


def list_options(
    recipe: Recipe,
    settings: Mapping[str, tuple[str, ...]],
    codebase: str,
    similarities: Collection[str] = MEASURES,
) -> dict[str, Any]:
    """Return the options of a resolved recipe: those of `SETTINGS`, `settings` and `NOTED`.

    Args:
        recipe: of a model that is to be written.
        settings: that an option is, beside `SETTINGS`.
        codebase: for the message.
        similarities: that the codebase has.

    Raises:
        UsageError: for a similarity that the codebase does not have.
    """
    if recipe.similarity.name not in similarities:
        raise _refuse(codebase, f"similarity {recipe.similarity.name!r}")
    held = flatten(recipe)
    return {
        **dict.fromkeys(NOTED, ""),
        "workers": 0,
        "use_restval": False,
        # A loss may have other options than these: the training is not the original's then, and `MORE` says so.
        "margin": 0.2,
        "max_violation": True,
        **{name: held[own[0]] for name, own in {**SETTINGS, **settings}.items() if own[0] in held},
        UNSCALED: not held.get(SCALED, True),
    }


def list_more(recipe: Recipe, written: Recipe, codebase: str) -> dict[str, str]:
    """Return the option `MORE`, or nothing, for what the other options do not tell.

    Args:
        recipe: of the model, resolved.
        written: what `apply_options` makes of the other options.
        codebase: for the message.

    Raises:
        UsageError: for a setting of which the model depends.
    """
    for kind in ("image_encoder", "text_encoder", "similarity"):
        if load_part(recipe, kind) is not load_part(written, kind):
            raise _refuse(codebase, f"{kind} {getattr(recipe, kind).name!r}")
    own, told = flatten(recipe), flatten(written)
    another_loss = own["loss"] != told["loss"]
    more = {}
    for name, value in own.items():
        if name in ("image_encoder", "text_encoder", "similarity"):
            continue  # by whatever name, the class is the same
        if told.get(name) == value and not (another_loss and name.startswith("loss")):
            continue
        if not _concerns_training(name):
            raise _refuse(codebase, f"{name}={value!r}, only {told.get(name)!r}")
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
    return UsageError(f"{codebase} has no {what}.", remedy=f"Choose another format, or a model that {codebase} has.")
