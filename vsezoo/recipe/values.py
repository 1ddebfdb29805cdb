"""Checks of JSON values against the declared types of the fields of a dataclass."""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from vsezoo.errors import RecipeError, suggest_name


def require_keys(place: str, value: Any, fields: Iterable[str], *, all_of_them: bool = True) -> None:
    """Raise RecipeError unless the value is an object with these keys: no others, and by default none fewer."""
    expected = set(fields)
    if not isinstance(value, Mapping):
        raise RecipeError(f"{place} is not an object.")
    unknown, absent = sorted(set(value) - expected), sorted(expected - set(value))
    if unknown:
        raise RecipeError(f"{place} has the unknown field {unknown[0]!r}.", remedy=suggest_name(unknown[0], expected))
    if absent and all_of_them:
        raise RecipeError(f"{place} lacks the field {absent[0]!r}.")


_read_types = functools.cache(typing.get_type_hints)
"""The declared types of the fields of a class; to work them out is slow."""


def convert_value(owner: type, name: str, value: Any, prefix: str = "") -> Any:
    """Return the value as the declared type of the field, so that 1 is accepted for 1.0 but "x" is not."""
    wanted = _read_types(owner)[name]
    allowed = typing.get_args(wanted) if isinstance(wanted, types.UnionType) else (wanted,)
    if float in allowed and type(value) is int and abs(value) < sys.float_info.max:
        return float(value)
    if any(type(value) is option for option in allowed):
        return value
    names = " or ".join(option.__name__ for option in allowed)
    raise RecipeError(f"{prefix}{name} is {value!r}; it must be of type {names}.")
