"""The kinds of registered objects and their requirements."""

from __future__ import annotations

import functools
import importlib
from typing import Any, NamedTuple

from vsezoo.errors import UsageError

OWN = "vsezoo"
"""This distribution, which is always allowed. Its name is also the first part of every entry-point group."""


class Kind(NamedTuple):
    """A kind of registered object."""

    noun: str
    base: str  # the class of its objects, or their base class
    subclass: bool
    listing: str  # the command that lists the names
    attributes: tuple[str, ...] = ()  # attributes that listings read


KINDS = {
    "models": Kind("model", "vsezoo.recipe:Recipe", False, "list-models"),
    "checkpoints": Kind("checkpoint", "vsezoo.recipe:Pretrained", False, "list-models --pretrained"),
    "image_encoders": Kind("image encoder", "vsezoo.interfaces:ImageEncoder", True, "list-plugins"),
    "text_encoders": Kind("text encoder", "vsezoo.interfaces:TextEncoder", True, "list-plugins"),
    "similarities": Kind("similarity", "vsezoo.interfaces:Similarity", True, "list-plugins"),
    "losses": Kind("loss", "vsezoo.interfaces:Loss", True, "list-plugins"),
    "optimizers": Kind("optimizer", "collections.abc:Callable", False, "list-plugins"),
    "schedules": Kind("schedule", "collections.abc:Callable", False, "list-plugins"),
    "datasets": Kind(
        "data set", "vsezoo.data.source:DataSource", False, "list-datasets", ("name", "summary", "splits", "kinds")
    ),
    "layouts": Kind("layout", "collections.abc:Callable", False, "list-plugins"),
    "openers": Kind("opener", "collections.abc:Callable", False, "list-plugins"),
    "indexes": Kind("index", "vsezoo.search.indexes:NearestRows", True, "list-plugins"),
    "protocols": Kind(
        "protocol", "vsezoo.evaluation.protocol:Protocol", False, "list-plugins", ("name", "summary", "split")
    ),
    "importers": Kind(
        "importer", "vsezoo.conversion.importer:Importer", True, "convert --help", ("name", "summary", "options")
    ),
    "commands": Kind("command", "click:Command", False, "--help"),
}
"""The kinds, by the last part of their entry-point group."""


def require_kind(kind: str) -> None:
    """Raise UsageError unless this is the name of a kind."""
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of registered object.", remedy=f"Kinds: {', '.join(KINDS)}.")


def require_type(kind: str, thing: object) -> None:
    """Raise TypeError for an object of the wrong type or without the required attributes."""
    wanted, base = KINDS[kind], import_object(KINDS[kind].base)
    fits = isinstance(thing, type) and issubclass(thing, base) if wanted.subclass else isinstance(thing, base)
    if not fits:
        given = f"the class {thing.__name__}" if isinstance(thing, type) else f"of type {type(thing).__name__}"
        form = "a subclass" if wanted.subclass else "an instance"
        raise TypeError(f"the object is {given}; a {wanted.noun} must be {form} of {wanted.base.replace(':', '.')}")
    missing = [name for name in wanted.attributes if not hasattr(thing, name)]
    if wanted.subclass:
        missing += sorted(getattr(thing, "__abstractmethods__", ()))
    if missing:
        raise TypeError(f"the {wanted.noun} lacks {', '.join(missing)}")


def import_object(value: str) -> Any:
    """Import the module of `module:attribute` and return the attribute."""
    module, attributes = split_value(value)
    if not module or not attributes:
        raise ValueError(f"{value!r} is not of the form module:attribute")
    return functools.reduce(getattr, attributes, importlib.import_module(module))


def split_value(value: str) -> tuple[str, list[str]]:
    """Return the module of `module:attribute` and the parts of the attribute's dotted name."""
    module, _, path = value.partition("[")[0].partition(":")  # extras may follow in brackets
    return module.strip(), [name for name in path.strip().split(".") if name]
