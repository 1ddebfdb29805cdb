"""The subject of a check: a registered name, or an object that is not registered yet."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from vsezoo import registry
from vsezoo.conversion.importer import Importer
from vsezoo.data.source import DataSource
from vsezoo.errors import UsageError
from vsezoo.interfaces import ImageEncoder, Loss, PairDataset, Similarity, TextEncoder
from vsezoo.recipe import Recipe
from vsezoo.registry.entry import SESSION
from vsezoo.search.indexes import NearestRows

UNREGISTERED = "under-test"
"""The name of an object while it is checked, if it has no other."""

BASES: dict[Any, str] = {
    ImageEncoder: "image_encoders",
    TextEncoder: "text_encoders",
    Similarity: "similarities",
    Loss: "losses",
    NearestRows: "indexes",
    Importer: "importers",
    Recipe: "models",
    DataSource: "datasets",
    PairDataset: "datasets",
    click.Command: "commands",
}
"""The kind of an object by what it is an instance or subclass of."""
FUNCTIONS = ("layouts", "optimizers", "schedules")
"""Kinds whose objects are functions: the kind must be given, since many things can be called."""


@dataclass(frozen=True)
class Subject:
    """A part, recipe, data set, importer or command to check.

    Attributes:
        kind: one of `vsezoo.registry.KINDS`.
        name: under which the registry finds it while it is checked.
        thing: the object itself.
        entry: its registration; None: it is not registered.
    """

    kind: str
    name: str
    thing: Any
    entry: registry.Entry | None = None

    def __str__(self) -> str:
        """Return its name for messages."""
        name = getattr(self.thing, "name", None) if self.entry is None else self.name
        return f"The {registry.KINDS[self.kind].noun} {name if isinstance(name, str) else self._own.__qualname__!r}"

    @property
    def file(self) -> str | None:
        """The file of its class; None if there is none, as for a class defined interactively."""
        try:
            return inspect.getfile(self._own)
        except (TypeError, OSError):
            return None

    @property
    def _own(self) -> Any:
        """The class or function itself; for an instance, its class."""
        return self.thing if hasattr(self.thing, "__qualname__") else type(self.thing)

    @property
    def module(self) -> str | None:
        """The module that the entry point names; None if no distribution registers it."""
        if self.entry is None or self.entry.distribution == SESSION:
            return None
        return self.entry.value.partition(":")[0]

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Register it by its name in the block."""
        with registry.session():
            if self.entry is None and not isinstance(self.thing, PairDataset):
                registry.register(self.kind, self.name)(self.thing)
            yield


def find_subject(thing: Any, name: Any = None) -> Subject:
    """Return the subject of `vsezoo.testing.check`.

    Args:
        thing: a class of parts, a recipe, a data set, a command; or the kind of `name`.
        name: a registered name of this kind, or an object of it.

    Raises:
        UsageError: for what is none of these.
        UnknownNameError, ConflictError, PluginError: see `vsezoo.registry.load`.
    """
    wanted = None
    if isinstance(thing, str):
        wanted, thing = thing, name
        if wanted not in registry.KINDS or thing is None:
            raise UsageError(
                f"{wanted!r} cannot be checked.",
                remedy="Give a class or an object, or a kind and a registered name: check('losses', 'hinge'). "
                f"Kinds: {', '.join(registry.KINDS)}.",
            )
    if wanted is not None and isinstance(thing, str):
        entry = registry.find(wanted, thing)
        return Subject(wanted, entry.label, entry.load(), entry)
    if wanted in FUNCTIONS and callable(thing):
        return Subject(wanted, UNREGISTERED, thing)
    for base, kind in BASES.items():
        fits = issubclass(thing, base) if isinstance(thing, type) else isinstance(thing, base)
        if fits and wanted in (None, kind) and isinstance(thing, type) == registry.KINDS[kind].subclass:
            return Subject(kind, UNREGISTERED, thing)
    form = f"the class {thing.__name__}" if isinstance(thing, type) else f"of type {type(thing).__name__}"
    raise UsageError(
        f"The object to check is {form}; expected: {registry.KINDS[wanted].noun if wanted else 'a part of a model'}.",
        remedy="Give a subclass of an image encoder, text encoder, similarity, loss or importer (the class, not an "
        "instance: the kit makes its own), or a recipe, a data set or a command itself; for a function give its kind: "
        "check('schedules', FUNCTION).",
    )
