"""Recognise the folder of a dual encoder of transformers, and refuse what looks like one and cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vsezoo.errors import CheckpointError, require_package
from vsezoo.recipe import Recipe
from vsezoo_clip.families import BLIP2, KNOWN, NOT_DUAL, find_family
from vsezoo_clip.recipes import blip_2, make_recipe

if TYPE_CHECKING:
    from vsezoo.interfaces import Weights

CHOOSE = f"Choose a dual encoder: {', '.join(family.title for family in KNOWN.values())}."


def open_transformers(weights: Weights) -> Recipe | None:
    """Return the recipe of a dual encoder of transformers; None: the weights are not of transformers.

    Raises:
        CheckpointError: for weights of transformers that are not a dual encoder, or one that cannot be used.
    """
    config = weights.config()
    if not {"model_type", "architectures", "auto_map"} & config.keys():
        return None
    family = find_family(config)
    if family is None or "auto_map" in config or not _is_whole(config, family.architecture):
        raise CheckpointError(_explain(config), file=weights.folder, remedy=CHOOSE)
    if family is BLIP2:
        return replace(blip_2, pretrained="", summary=f"{family.title}, pretrained.")
    return make_recipe(family.name, f"{family.title}, pretrained: both towers as transformers has them.")


def open_open_clip(weights: Weights) -> Recipe | None:
    """Return the recipe of a dual encoder of open_clip; None: the weights are not of open_clip.

    Raises:
        CheckpointError: for one that cannot be used.
        MissingPackageError: if open_clip is not installed.
    """
    from vsezoo_clip.open_clip_towers import read_settings, refuse_unsupported  # imports torch

    found = read_settings(weights)
    if found is None:
        return None
    refuse_unsupported(found[0], weights.folder)
    require_package("open_clip", "a model of open_clip", weights.folder)
    return make_recipe("open-clip", "A pretrained dual encoder of open_clip: both towers as it has them.", "open-clip")


def _is_whole(config: Mapping[str, Any], architecture: str) -> bool:
    """Return whether a configuration is that of the whole dual encoder and not of a model made of it."""
    classes = config.get("architectures")
    return not classes or architecture in classes


def _explain(config: Mapping[str, Any]) -> str:
    """Return why a configuration is not that of a dual encoder."""
    kind = str(config.get("model_type", ""))
    if "auto_map" in config:
        return "asks for code of its own (auto_map in config.json), which is never executed."
    if kind in NOT_DUAL:
        return f"cannot be used: {NOT_DUAL[kind]}."
    classes = config.get("architectures") or []
    what = ", ".join(map(str, classes)) if isinstance(classes, list) and classes else f"model_type {kind!r}"
    family = find_family(config)
    if family is not None:
        return f"is a model of another task ({what}): the dual encoder of {family.title} is {family.architecture}."
    if "text_config" in config and "For" not in what:  # FLAVA, AIMv2, GroupViT and others
        return f"is of a family of models of images and sentences that is not supported ({what})."
    return f"is a model of another task ({what}): it does not embed both images and sentences."
