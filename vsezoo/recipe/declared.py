"""A declared option, and the check of its value: type and limits."""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from vsezoo.errors import RecipeError, suggest_name
from vsezoo.recipe.options import Limit

PLAIN = (bool, int, float, str)
"""The types of single JSON values."""


class Option(NamedTuple):
    """An option: its default, and the values that it accepts.

    Attributes:
        name: name without that of the part.
        default: default value.
        hint: its declared type; None: that of the default, or any if the default is None.
        limits: limits in addition to the type; the default need satisfy neither.
        doc: one sentence from its docstring; empty if there is none.
    """

    name: str
    default: Any
    hint: Any = None
    limits: tuple[Limit, ...] = ()
    doc: str = ""

    @property
    def choices(self) -> tuple[Any, ...]:
        """The accepted values, if they are listed; else empty."""
        return next((limit.choices for limit in self.limits if limit.choices), ())

    @property
    def range(self) -> str:
        """The limits in words; empty if there are none."""
        return " and ".join(map(str, self.limits))

    def convert(self, value: Any, setting: str) -> Any:
        """Return the value in the type of the option: integers become floats if needed, tuples lists.

        Args:
            value: value from a recipe, a user or a stored file.
            setting: full name for the message, such as `loss.margin`.

        Raises:
            RecipeError: for a value of another type, or outside the limits.
        """
        if type(value) is type(self.default) and value == self.default:
            return value
        hint = self.hint or (Any if self.default is None else type(self.default))
        fits, converted = _fit(hint, value)
        if not fits:
            example = "" if self.default in (None, "") else f", such as {self.default!r}"
            raise RecipeError(f"{setting} is {value!r}; it must be of type {_name(hint)}{example}.")
        if converted is not None and not all(limit.allows(converted) for limit in self.limits):
            finite = "" if not isinstance(converted, float) or math.isfinite(converted) else "a finite number, "
            near = suggest_name(value, map(str, self.choices)) if isinstance(value, str) else ""
            raise RecipeError(f"{setting} is {value!r}; it must be {finite}{self.range}.", remedy=near)
        return converted


def is_json_type(hint: Any) -> bool:
    """Return whether an annotation is of JSON values, so that values can be checked against it."""
    origin, inner = get_origin(hint), [arm for arm in get_args(hint) if arm is not Ellipsis]
    if origin is Literal:
        return True
    if origin in (Union, types.UnionType) or _is_list(origin or hint):
        return all(map(is_json_type, inner))
    return hint in (Any, type(None), *PLAIN) or _is_object(origin or hint)


def _fit(hint: Any, value: Any) -> tuple[bool, Any]:
    """Return whether a value is of a type, and the value in that type."""
    origin, inner = get_origin(hint), [arm for arm in get_args(hint) if arm is not Ellipsis]
    if origin in (Union, types.UnionType):
        return next((fit for fit in (_fit(arm, value) for arm in inner) if fit[0]), (False, value))
    if hint is float and type(value) is int and abs(value) < sys.float_info.max:
        return True, float(value)
    if _is_list(origin or hint) and isinstance(value, list | tuple):
        items = [_fit(inner[0] if inner else Any, item) for item in value]
        return all(fits for fits, _ in items), [converted for _, converted in items]
    if _is_object(origin or hint):
        return isinstance(value, Mapping), value
    return hint is Any or type(value) is hint, value


def _is_list(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Sequence) and hint is not str


def _is_object(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Mapping)


def _name(hint: Any) -> str:
    """Return the name of a type for messages."""
    origin, inner = get_origin(hint), [arm for arm in get_args(hint) if arm is not Ellipsis]
    if origin in (Union, types.UnionType):
        return " or ".join(map(_name, inner))
    if _is_list(origin or hint):
        return f"list of {_name(inner[0])}" if inner else "list"
    if _is_object(origin or hint):
        return "object"
    return "null" if hint is type(None) else getattr(hint, "__name__", str(hint))
