"""Limits of options, written next to the type of a parameter.

    def __init__(self, *, margin: Annotated[float, AtLeast(0)] = 0.2, norm: Annotated[str, OneOf("l1", "l2")] = "l2"):

A parameter with a default is an option: its type, its limits and its line under "Args:" in the docstring are used.
A constructor that passes `**keywords` on to its base class also has the options of that class.
Parameters without annotations are options too; their values must have the type of the default.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any


class Limit(ABC):
    """A condition on the values of an option; its `str` completes "it must be".

    Attributes:
        choices: the values, if they are listed.
    """

    choices: tuple[Any, ...] = ()

    @abstractmethod
    def allows(self, value: Any) -> bool:
        """Return whether the option accepts this value, which has its type and is not None."""

    @abstractmethod
    def __str__(self) -> str: ...


class AtLeast(Limit):
    """A finite number, `least` or more."""

    def __init__(self, least: float) -> None:
        self.least = least

    def allows(self, value: float) -> bool:
        """Return whether it is."""
        return self.least <= value < math.inf

    def __str__(self) -> str:
        return f"at least {self.least}"


class AtMost(Limit):
    """A finite number, `most` or less."""

    def __init__(self, most: float) -> None:
        self.most = most

    def allows(self, value: float) -> bool:
        """Return whether it is."""
        return -math.inf < value <= self.most

    def __str__(self) -> str:
        return f"at most {self.most}"


class Above(Limit):
    """A finite number above `bound`."""

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def allows(self, value: float) -> bool:
        """Return whether it is."""
        return self.bound < value < math.inf

    def __str__(self) -> str:
        return f"above {self.bound}"


class Below(Limit):
    """A finite number below `bound`."""

    def __init__(self, bound: float) -> None:
        self.bound = bound

    def allows(self, value: float) -> bool:
        """Return whether it is."""
        return -math.inf < value < self.bound

    def __str__(self) -> str:
        return f"below {self.bound}"


class Between(Limit):
    """A number from `least` to `most`, both included."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def allows(self, value: float) -> bool:
        """Return whether it is."""
        return self.least <= value <= self.most

    def __str__(self) -> str:
        return f"from {self.least} to {self.most}"


class OneOf(Limit):
    """One of a few values."""

    def __init__(self, *choices: Any) -> None:
        self.choices = choices

    def allows(self, value: Any) -> bool:
        """Return whether it is."""
        return value in self.choices

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.choices))}"


class Each(Limit):
    """A list with limits on its items.

    Args:
        *limits: limits of each item.
        length: number of items; None: one or more.
    """

    def __init__(self, *limits: Limit, length: int | None = None) -> None:
        self.limits, self.length = limits, length

    def allows(self, value: Any) -> bool:
        """Return whether the number of items and all items are valid."""
        count = len(value) == self.length if self.length else len(value) > 0
        return count and all(limit.allows(item) for item in value for limit in self.limits)

    def __str__(self) -> str:
        limits = " and ".join(map(str, self.limits))
        return f"{self.length or 'one or more'} values{f', each {limits}' if limits else ''}"


class Or(Limit):
    """A special value, such as 0 for "the default of the network", or a value that a limit allows."""

    def __init__(self, value: Any, limit: Limit) -> None:
        self.value, self.limit = value, limit
        self.choices = (value, *limit.choices) if limit.choices else ()

    def allows(self, value: Any) -> bool:
        """Return whether it is one of the two."""
        return value == self.value or self.limit.allows(value)

    def __str__(self) -> str:
        return f"{self.value!r} or {self.limit}"
