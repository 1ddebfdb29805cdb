"""The distributions of the parts of a checkpoint: recorded with the recipe, and checked when it is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.errors import CheckpointError, ConflictError, UnknownNameError
from vsezoo.parts import GROUPS, load_part
from vsezoo.recipe import PART_KINDS, Part, Recipe
from vsezoo.registry.names import normalize


def record_parts(recipe: Recipe) -> dict[str, dict[str, str]]:
    """Return name, distribution and version of each part of a recipe, and of parts that options name.

    The keys are the settings that name them: `image_encoder`, `image_encoder.head`, …
    """
    inner: tuple[str, ...] = getattr(load_part(recipe, "image_encoder"), "part_options", ())
    settings = [*PART_KINDS, *(f"image_encoder.{option}" for option in inner)]
    entries = {setting: registry.find(_group_of(setting), _read_name(recipe, setting)) for setting in settings}
    return {
        setting: {"name": entry.name, "distribution": entry.distribution, "version": entry.version}
        for setting, entry in entries.items()
    }


def find_parts(recipe: Recipe, plugins: Mapping[str, Any], file: Path) -> Recipe:
    """Return a stored recipe whose names refer to the parts that it was written with.

    If a name refers to a part of another distribution here, the recipe gets the qualified name. Parts registered in a
    session have no distribution to check.

    Args:
        recipe: stored recipe.
        plugins: output of `record_parts`; untrusted.
        file: the file that contains them, for the error.

    Raises:
        CheckpointError: for a part that is not registered, or only by another distribution; the remedy names the
            distribution to install.
    """
    # Options that name parts are read without importing the class, which may take long.
    inner = [setting for setting in plugins if setting.startswith("image_encoder.") and _read_name(recipe, setting)]
    for setting in [*PART_KINDS, *inner]:
        name, group = _read_name(recipe, setting), _group_of(setting)
        distribution, version = _read_origin(plugins.get(setting))
        problem, remedy = "", ""
        try:
            entry = registry.find(group, name)
        except UnknownNameError as error:
            problem, remedy = f"needs a missing part. {error.problem}", error.remedy
        except ConflictError as error:
            problem, remedy = f"names a part that is not clear here. {error.problem}", error.remedy
        else:
            if not distribution or _is_same(distribution, entry.distribution):
                continue
            problem = (
                f"was written with the {registry.KINDS[group].noun} {name!r} of {distribution}; here this name "
                f"refers to the one of {entry.distribution}."
            )
        bare = name.rpartition(":")[2]
        known = [found for found in registry.list_entries(group) if found.name == bare]
        if any(_is_same(distribution, found.distribution) for found in known):
            recipe = _write_name(recipe, setting, f"{distribution}:{bare}")
            continue
        if distribution and not any(_is_same(distribution, found.name) for found in registry.list_distributions()):
            remedy = f"It was written with the distribution {distribution} {version}: pip install {distribution}"
        raise CheckpointError(problem, file=file, remedy=remedy or f"Install {distribution} {version}.")
    return recipe


def _group_of(setting: str) -> str:
    return GROUPS[setting.partition(".")[0]]


def _read_name(recipe: Recipe, setting: str) -> str:
    """Return the name of a part, or one in an option; empty for other options."""
    kind, _, option = setting.partition(".")
    part: Part = getattr(recipe, kind)
    name = part.options.get(option) if option else part.name
    return name if isinstance(name, str) else ""


def _write_name(recipe: Recipe, setting: str, name: str) -> Recipe:
    kind, _, option = setting.partition(".")
    part: Part = getattr(recipe, kind)
    changed = Part(part.name, {**part.options, option: name}) if option else Part(name, part.options)
    changes: dict[str, Any] = {kind: changed}
    return replace(recipe, **changes)


def _read_origin(origin: Any) -> tuple[str, str]:
    """Return a distribution and its version, or two empty texts for a part of a session or invalid entries.

    The folder is untrusted: only the name of a distribution becomes part of a command.
    """
    stated = (origin.get("distribution"), origin.get("version")) if isinstance(origin, Mapping) else ()
    text = " ".join(word for word in stated if isinstance(word, str))
    match = re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]*) ([A-Za-z0-9.+!-]*)", text)
    return (match[1], match[2]) if match and match[1] != registry.SESSION else ("", "")


def _is_same(first: str, second: str) -> bool:
    return normalize(first) == normalize(second)
