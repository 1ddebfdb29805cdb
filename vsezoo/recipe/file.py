"""A recipe as a JSON file, to copy and edit: what `vsezoo show MODEL --json` prints, or `Recipe.to_json` in a file.

The other output of `show` (limits, descriptions, sizes, versions) may be kept or removed; a misspelt name is an error.
The `config.json` of a checkpoint is also a recipe file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.errors import RecipeError, UsageError
from vsezoo.recipe.part import PART_KINDS, TRAINING_PARTS
from vsezoo.recipe.published import Paper, PublishedResult
from vsezoo.recipe.recipe import KINDS, Override, Recipe
from vsezoo.recipe.values import require_keys
from vsezoo.storage.json_file import LARGEST, parse_strictly
from vsezoo.storage.plain_file import explain_unread, read_plain

SUFFIX = ".json"
SHOWN = ("aliases", "distribution", "version", "file", "parameters", "training_options")
"""Keys that `show` prints in addition to the recipe and its parts."""


def is_recipe_file(model: str | Path) -> bool:
    """Return whether a name is that of a recipe file, not of a model or a checkpoint: it ends in `.json`."""
    return str(model).endswith(SUFFIX) and not Path(model).is_dir()


def read_recipe(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """Read a recipe file.

    Returns:
        the recipe without options that are marked as defaults in the file; and those with their values, by dotted
        names.

    Raises:
        UsageError: for a file that cannot be read.
        RecipeError: if it is not a recipe; without the name of the file.
    """
    try:
        with explain_unread(path, UsageError):
            value = parse_strictly(read_plain(path, LARGEST))
    except ValueError as error:
        raise RecipeError(
            f"is not JSON: {error}.", remedy="`vsezoo show MODEL --json > FILE.json` writes one."
        ) from None
    if isinstance(value, Mapping) and isinstance(value.get("recipe"), Mapping):
        value = value["recipe"]
    shown = isinstance(value, Mapping) and "parts" in value
    held = {**value, **_require_object("parts", value["parts"])} if shown else value
    optional = (
        "summary",
        "embed_size",
        "pretrained",
        "training",
        *TRAINING_PARTS,
        "data",
        "overrides",
        "paper",
        "published",
    )
    require_keys("the recipe", held, ("name", *PART_KINDS), (*optional, *SHOWN, *(("parts",) if shown else ())))
    parts: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for kind in filter(held.__contains__, KINDS):
        name, options, given = _read_part(kind, held[kind])
        parts[kind] = {"name": name, "options": options}
        defaults |= {f"{kind}.{option}": value for option, value in given.items()}
    fields = {"summary": "", "embed_size": 1024, "pretrained": "", "training": {}}
    given = {name: held[name] for name in ("name", *fields) if name in held}
    if given.get("pretrained", "") is None:  # as `show` prints it if there are none
        del given["pretrained"]
    recipe = Recipe.from_json({**fields, **given, **parts})
    if not recipe.name or any(letter in recipe.name for letter in "/\\:"):
        raise RecipeError(f"name is {recipe.name!r}; it must be a word without slashes and colons.")
    return dataclasses.replace(recipe, **_read_knowledge(held)), defaults


def _read_part(kind: str, value: Any) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Return name and options of a part, and the options that `show` marks as defaults."""
    if isinstance(value, str):
        return value, {}, {}
    require_keys(kind, value, ("name",), ("options", *SHOWN))
    options: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for name, option in _require_object(f"{kind}.options", value.get("options", {})).items():
        shown = isinstance(option, Mapping) and {"value", "default"} <= option.keys()
        held = option["value"] if shown else option
        (defaults if shown and held == option["default"] else options)[name] = held
    return value["name"], options, defaults


def _read_knowledge(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides, paper and published results, without overrides that have already been applied."""
    overrides = {}
    for data, override in _require_object("overrides", value.get("overrides") or {}).items():
        require_keys(f"overrides.{data}", override, ("settings",), ("reason",))
        settings = _require_object(f"overrides.{data}.settings", override["settings"])
        if data != value.get("data"):
            overrides[data] = Override(settings, override.get("reason", ""))
    known: dict[str, Any] = {"overrides": overrides}
    if value.get("paper") is not None:
        known["paper"] = _read_record(Paper, "paper", value["paper"])
    results = value.get("published") or []
    if not isinstance(results, list):
        raise RecipeError("published is not a list.")
    known["published"] = tuple(_read_record(PublishedResult, "published", result) for result in results)
    return known


def _read_record(record: type, place: str, value: Any) -> Any:
    names = [item.name for item in dataclasses.fields(record)]
    required = [item.name for item in dataclasses.fields(record) if item.default is dataclasses.MISSING]
    require_keys(place, value, required, names)
    return record(**{name: tuple(item) if isinstance(item, list) else item for name, item in value.items()})


def _require_object(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{place} is not an object.")
    return dict(value)
