"""Values that users write as text, and the keys of stored objects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vsezoo.errors import RecipeError, suggest_name


def parse_value(text: str) -> Any:
    """Return the value of `NAME=VALUE`: JSON, or Python's True or False; any other text stays one."""
    import json  # most commands parse no value

    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return {"True": True, "False": False}.get(text, text)


def require_keys(place: str, value: Any, fields: Iterable[str] = (), optional: Iterable[str] = ()) -> None:
    """Raise RecipeError unless the value is an object with these fields, and no others except optional ones."""
    required = set(fields)
    expected = required | set(optional)
    if not isinstance(value, Mapping):
        raise RecipeError(f"{place} is not an object.")
    unknown, absent = sorted(set(value) - expected), sorted(required - set(value))
    if unknown:
        raise RecipeError(f"{place} has the unknown field {unknown[0]!r}.", remedy=suggest_name(unknown[0], expected))
    if absent:
        raise RecipeError(f"{place} lacks the field {absent[0]!r}.")
