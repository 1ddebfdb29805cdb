"""Broken plugins on show: each is wrong in one way, which its docstring says, and names the checks that fail on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from vsezoo.testing import KITS
from vsezoo.testing.kit import Kit
from vsezoo.testing.subject import Subject, find_subject

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Exhibit:
    """A broken plugin.

    Attributes:
        name: of the test.
        subject: what is broken.
        fails: the checks that fail on it; all others pass.
        settings: of the kit.
    """

    name: str
    subject: Subject
    fails: frozenset[str]
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kit(self) -> Kit:
        return KITS[self.subject.kind](self.subject, **self.settings)


EXHIBITS: list[Exhibit] = []


def exhibit(*fails: str, **settings: Any) -> Callable[[Thing], Thing]:
    """Put a plugin on show that fails these checks."""

    def show(thing: Thing) -> Thing:
        name = getattr(thing, "__name__", None) or getattr(thing, "name", None)
        put_on_show(str(name), find_subject(thing), *fails, **settings)
        return thing

    return show


def put_on_show(name: str, subject: Subject, *fails: str, **settings: Any) -> None:
    EXHIBITS.append(Exhibit(f"{subject.kind}-{name}", subject, frozenset(fails), settings))
