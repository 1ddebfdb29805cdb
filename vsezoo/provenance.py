"""Which distribution each part of a checkpoint came from: written beside the recipe, and asked for again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.errors import CheckpointError, UnknownNameError
from vsezoo.parts import GROUPS
from vsezoo.recipe import PART_KINDS, Part, Recipe
from vsezoo.registry.names import normalize


def record_parts(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Return name, distribution and version of each part of a recipe."""
    entries = {kind: registry.find(GROUPS[kind], getattr(recipe, kind).name) for kind in PART_KINDS}
    return {
        kind: {"name": entry.name, "distribution": entry.distribution, "version": entry.version}
        for kind, entry in entries.items()
    }


def find_parts(recipe: Recipe, plugins: Mapping[str, Any], file: Path) -> Recipe:
    """Return a stored recipe whose names mean the parts that it was written with.

    Where a name means another distribution's part here, the recipe gets the qualified one. Parts of a notebook's
    session have no distribution to be held to.

    Args:
        recipe: as it is stored.
        plugins: what `record_parts` gave; it may come from a stranger.
        file: where they stand, for the error.

    Raises:
        CheckpointError: for a part that is not registered, or by another distribution alone; the remedy names the
            distribution to install.
    """
    for kind in PART_KINDS:
        name = getattr(recipe, kind).name
        distribution, version = _read_origin(plugins.get(kind))
        try:
            entry = registry.find(GROUPS[kind], name)
        except UnknownNameError as error:
            problem, remedy = f"needs a part that is not there. {error.problem}", error.remedy
        else:
            if not distribution or _is_same(distribution, entry.distribution):
                continue
            bare = name.rpartition(":")[2]
            known = [found for found in registry.list_entries(GROUPS[kind]) if found.name == bare]
            if any(_is_same(distribution, found.distribution) for found in known):
                changed: dict[str, Any] = {kind: Part(f"{distribution}:{bare}", getattr(recipe, kind).options)}
                recipe = replace(recipe, **changed)
                continue
            problem = (
                f"was written with the {registry.KINDS[GROUPS[kind]].noun} {name!r} of {distribution}; here that name "
                f"means the one of {entry.distribution}."
            )
            remedy = ""
        if distribution and not any(_is_same(distribution, found.name) for found in registry.list_distributions()):
            remedy = f"It was written with the distribution {distribution} {version}: pip install {distribution}"
        raise CheckpointError(problem, file=file, remedy=remedy or f"Install {distribution} {version}.")
    return recipe


def _read_origin(origin: Any) -> tuple[str, str]:
    """Return a distribution and its version, or twice nothing for a notebook's session or what is not sound.

    The folder may come from a stranger: nothing but the name of a distribution becomes part of a command.
    """
    stated = (origin.get("distribution"), origin.get("version")) if isinstance(origin, Mapping) else ()
    text = " ".join(word for word in stated if isinstance(word, str))
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*) ([A-Za-z0-9.+!-]*)", text)
    return (match[1], match[2]) if match and match[1] != registry.SESSION else ("", "")


def _is_same(first: str, second: str) -> bool:
    return normalize(first) == normalize(second)
