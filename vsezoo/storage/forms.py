"""The forms of the values in our own JSON files: types, ranges and lengths, written down once for each file.

    PLACE = Fields({"epoch": Integer(), "best_score": Maybe(Number())}, optional={"complete": Flag()})

A form says what is wrong with a value and where: "place.epoch is not an integer from 0 to 9,223,372,036,854,775,807".
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

MOST_ITEMS = 10_000_000
LONGEST_TEXT = 1_000_000


class FormError(ValueError):
    """A value that does not have its form."""


class Form(ABC):
    """What a value may be; its `str` completes "is not"."""

    def check(self, value: Any, place: str) -> None:
        """Raise FormError for a value that is not of this form."""
        if not self.fits(value):
            raise FormError(f"{place} is not {self}")

    @abstractmethod
    def fits(self, value: Any) -> bool:
        """Return whether a value, its items aside, is of this form."""

    @abstractmethod
    def __str__(self) -> str: ...


class Anything(Form):
    """Any value, whose form others know."""

    def fits(self, value: Any) -> bool:
        """Return True."""
        return True

    def __str__(self) -> str:
        return "a value"


class Integer(Form):
    """An integer from `least` to `most`."""

    def __init__(self, least: int = 0, most: int = 2**63 - 1) -> None:
        self.least, self.most = least, most

    def fits(self, value: Any) -> bool:
        """Return whether it is."""
        return type(value) is int and self.least <= value <= self.most

    def __str__(self) -> str:
        return f"an integer from {self.least:,} to {self.most:,}"


class Number(Form):
    """A finite number, `least` or more."""

    def __init__(self, least: float = -inf) -> None:
        self.least = least

    def fits(self, value: Any) -> bool:
        """Return whether it is."""
        if type(value) is int:
            return self.least <= value and abs(value) < 2**63
        return type(value) is float and isfinite(value) and value >= self.least

    def __str__(self) -> str:
        return "a finite number" + ("" if self.least == -inf else f", {self.least} or more")


class Flag(Form):
    """True or false."""

    def fits(self, value: Any) -> bool:
        """Return whether it is."""
        return type(value) is bool

    def __str__(self) -> str:
        return "true or false"


class Text(Form):
    """A text, all of which matches a pattern if one is given."""

    def __init__(self, pattern: str = "", noun: str = "a text", longest: int = LONGEST_TEXT) -> None:
        self.pattern, self.noun, self.longest = re.compile(pattern) if pattern else None, noun, longest

    def fits(self, value: Any) -> bool:
        """Return whether it is."""
        return (
            isinstance(value, str)
            and len(value) <= self.longest
            and (self.pattern is None or self.pattern.fullmatch(value) is not None)
        )

    def __str__(self) -> str:
        return self.noun


class Maybe(Form):
    """None, or a value of another form."""

    def __init__(self, form: Form) -> None:
        self.form = form

    def check(self, value: Any, place: str) -> None:
        """Raise FormError for a value that is not of this form."""
        if value is not None:
            self.form.check(value, place)

    def fits(self, value: Any) -> bool:
        """Return whether it is."""
        return value is None or self.form.fits(value)

    def __str__(self) -> str:
        return f"null or {self.form}"


class ListOf(Form):
    """A list of items of one form, `length` of them if it is given."""

    def __init__(self, item: Form, length: int | None = None, most: int = MOST_ITEMS) -> None:
        self.item, self.length, self.most = item, length, most

    def check(self, value: Any, place: str) -> None:
        """Raise FormError for a value that is not of this form."""
        super().check(value, place)
        for index, item in enumerate(value):
            if not self.item.fits(item):
                raise FormError(f"{place}[{index}] is not {self.item}")
            if isinstance(item, list | dict):
                self.item.check(item, f"{place}[{index}]")

    def fits(self, value: Any) -> bool:
        """Return whether it is a list of this length."""
        return isinstance(value, list) and len(value) <= self.most and self.length in (None, len(value))

    def __str__(self) -> str:
        return f"a list of {self.length:,} items" if self.length is not None else "a list"


class Mapped(Form):
    """An object with any keys and values of one form."""

    def __init__(self, item: Form) -> None:
        self.item = item

    def check(self, value: Any, place: str) -> None:
        """Raise FormError for a value that is not of this form."""
        super().check(value, place)
        for name, item in value.items():
            self.item.check(item, f"{place}[{name[:80]!r}]")

    def fits(self, value: Any) -> bool:
        """Return whether it is an object."""
        return isinstance(value, dict)

    def __str__(self) -> str:
        return "an object"


class Fields(Form):
    """An object with these fields.

    Args:
        required: forms by name.
        optional: forms of fields that may be absent.
        others: whether there may be more, such as those of later versions.
    """

    def __init__(
        self, required: Mapping[str, Form], optional: Mapping[str, Form] | None = None, *, others: bool = False
    ) -> None:
        self.required, self.optional, self.others = required, optional or {}, others

    def check(self, value: Any, place: str) -> None:
        """Raise FormError for a value that is not of this form."""
        super().check(value, place)
        known, start = {**self.required, **self.optional}, f"{place}." if place else ""
        for name in self.required:
            if name not in value:
                raise FormError(f"{start}{name} is missing")
        for name, item in value.items():
            if name in known:
                known[name].check(item, f"{start}{name}")
            elif not self.others:
                raise FormError(f"{start}{name[:80]} is not a known field")

    def fits(self, value: Any) -> bool:
        """Return whether it is an object."""
        return isinstance(value, dict)

    def __str__(self) -> str:
        return "an object"


SHA256 = Text("[0-9a-f]{64}", "a SHA-256")
DIGEST = Fields({"size": Integer(), "sha256": SHA256})
