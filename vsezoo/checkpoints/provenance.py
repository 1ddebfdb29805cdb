"""The distributions of the parts of a checkpoint: recorded with the recipe, and checked when it is loaded.

Caches of embeddings depend on the versions of all that compute them, see `list_versions`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.errors import CheckpointError, ConflictError, UnknownNameError, VsezooWarning
from vsezoo.parts import load_part
from vsezoo.recipe import PART_KINDS, Part, Recipe
from vsezoo.recipe.part import GROUPS
from vsezoo.registry.names import normalize

ALWAYS = ("vsezoo", "torch", "numpy")
PRETRAINED = ("transformers", "open-clip-torch", "peft")
LIBRARIES = {
    "picture": (*ALWAYS, "torchvision", "timm", "Pillow", "pillow-heif", *PRETRAINED),
    "text": (*ALWAYS, "tokenizers", "sentencepiece", *PRETRAINED),
}
"""The distributions that may compute embeddings, by the kind of what is embedded; of other kinds `ALWAYS` alone."""


def record_parts(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Return name, distribution, version and plugin API of each part of a recipe, and of parts that options name.

    The keys are the settings that name them: `image_encoder`, `image_encoder.head`, …
    """
    inner: tuple[str, ...] = getattr(load_part(recipe, "image_encoder"), "part_options", ())
    settings = [*PART_KINDS, *(f"image_encoder.{option}" for option in inner)]
    entries = {setting: registry.find(_group_of(setting), _read_name(recipe, setting)) for setting in settings}
    return {
        setting: {
            "name": entry.name,
            "distribution": entry.distribution,
            "version": entry.version,
            "api_version": entry.api_version,
        }
        for setting, entry in entries.items()
    }


def list_versions(recipe: Recipe, settings: Iterable[str], kind: str) -> list[str]:
    """Return all distributions on which embeddings depend, each with its version, such as `torch 2.9.0`.

    Args:
        recipe: of the model.
        settings: those that name parts: the keys of `record_parts`.
        kind: what is embedded: `picture`, `text`, …
    """
    inner = [setting for setting in settings if setting.startswith("image_encoder.")]
    names = {setting: _read_name(recipe, setting) for setting in (*PART_KINDS, *inner)}
    entries = [registry.find(_group_of(setting), name) for setting, name in names.items() if name]
    return sorted(
        {f"{entry.distribution} {entry.version}" for entry in entries if entry.distribution != registry.SESSION}
        | {f"{name} {_find_version(name)}" for name in LIBRARIES.get(kind, ALWAYS)}
    )


def _find_version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"


def find_parts(recipe: Recipe, plugins: Mapping[str, Any], file: Path) -> Recipe:
    """Return a stored recipe whose names refer to the parts that it was written with.

    If a name refers to a part of another distribution here, the recipe gets the qualified name. Parts registered in a
    session have no distribution to check.

    Args:
        recipe: stored recipe.
        plugins: output of `record_parts`; untrusted.
        file: the file that contains them, for the error.

    A plugin of another version than the checkpoint's is a warning: its parts may compute something else.

    Raises:
        CheckpointError: for a part that is not registered, or only by another distribution; the remedy names the
            distribution to install. Also for one that was written for a later plugin API.
    """
    # Options that name parts are read without importing the class, which may take long.
    changed = dict[str, tuple[str, str]]()
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
                _require_api(plugins.get(setting), distribution, version, file)
                if distribution and not entry.own and version != entry.version:
                    changed[entry.distribution] = version, entry.version
                continue
            problem = (
                f"was written with the {registry.KINDS[group].noun} {name!r} of {distribution}; here this name "
                f"refers to the one of {entry.distribution}."
            )
        bare = name.rpartition(":")[2]
        known = [found for found in registry.list_entries(group) if found.name == bare]
        if theirs := next((found for found in known if _is_same(distribution, found.distribution)), None):
            recipe = _write_name(recipe, setting, f"{distribution}:{bare}")
            if not theirs.own and version != theirs.version:
                changed[theirs.distribution] = version, theirs.version
            continue
        if distribution and not any(_is_same(distribution, found.name) for found in registry.list_distributions()):
            remedy = f"It was written with the distribution {distribution} {version}: pip install {distribution}"
        raise CheckpointError(problem, file=file, remedy=remedy or f"Install {distribution} {version}.")
    for name, (then, now) in changed.items():
        text = f"{file}: was written with {name} {then}; {now} is installed, which may compute other embeddings."
        warnings.warn(text, VsezooWarning, stacklevel=2)
    return recipe


def _require_api(origin: Any, distribution: str, version: str, file: Path) -> None:
    """Refuse a part that was written for a later plugin API than this vsezoo knows."""
    api = origin.get("api_version") if isinstance(origin, Mapping) else None
    if type(api) is int and api > registry.API_VERSION:
        raise CheckpointError(
            f"was written with {distribution} {version} for version {api} of the plugin API; this vsezoo knows "
            f"version {registry.API_VERSION}.",
            file=file,
            remedy="Upgrade vsezoo: pip install --upgrade vsezoo",
        )


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
