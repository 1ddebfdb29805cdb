"""The kinds of registered objects and their requirements."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType
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
    choices: Mapping[str, tuple[str, ...]] = MappingProxyType({})  # the values of attributes that have only a few
    tuples: tuple[str, ...] = ()  # attributes that are tuples of texts, none of them empty
    check: str = ""  # a function that raises if an object cannot be used; it may load other objects


GIVES = ("vectors", "sets", "")
"""The values of `Encoder.gives`."""

KINDS = {
    "models": Kind("model", "vsezoo.recipe:Recipe", False, "list-models", check="vsezoo.parts:check_recipe"),
    "checkpoints": Kind("checkpoint", "vsezoo.recipe:Pretrained", False, "list-models --pretrained"),
    "image_encoders": Kind(
        "image encoder",
        "vsezoo.interfaces:ImageEncoder",
        True,
        "list-plugins",
        tuples=("kinds",),
        choices={"gives": GIVES, "region_order": ("ordered", "invariant")},
    ),
    "text_encoders": Kind(
        "text encoder", "vsezoo.interfaces:TextEncoder", True, "list-plugins", choices={"gives": GIVES}
    ),
    "similarities": Kind(
        "similarity",
        "vsezoo.interfaces:Similarity",
        True,
        "list-plugins",
        choices={"inputs": ("vectors", "sets"), "metric": ("inner_product", "")},
    ),
    "losses": Kind(
        "loss",
        "vsezoo.interfaces:Loss",
        True,
        "list-plugins",
        choices={"needs": ("vectors", "extras", "image_sets", "sets")},
    ),
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
    """Raise TypeError for an object of the wrong type, or without a required attribute or with a wrong value of one."""
    wanted, base = KINDS[kind], import_object(KINDS[kind].base)
    fits = isinstance(thing, type) and issubclass(thing, base) if wanted.subclass else isinstance(thing, base)
    if not fits:
        given = f"the class {thing.__name__}" if isinstance(thing, type) else f"of type {type(thing).__name__}"
        form = "a subclass" if wanted.subclass else "an instance"
        raise TypeError(f"the object is {given}; a {wanted.noun} must be {form} of {wanted.base.replace(':', '.')}")
    missing = [name for name in (*wanted.attributes, *wanted.tuples) if not hasattr(thing, name)]
    if wanted.subclass:
        missing += sorted(getattr(thing, "__abstractmethods__", ()))
    if missing:
        raise TypeError(f"the {wanted.noun} lacks {', '.join(missing)}")
    for name in wanted.tuples:
        value = getattr(thing, name)
        if not (isinstance(value, tuple) and value and all(isinstance(item, str) for item in value)):
            raise TypeError(
                f"the {wanted.noun} has {name} = {value!r}; it must be a tuple of texts, such as ('vector',)"
            )
    for name, choices in wanted.choices.items():
        value = getattr(thing, name)
        if value not in choices and not hasattr(value, "__get__"):  # a property has its value in an instance only
            listing = " or ".join(map(repr, choices))
            raise TypeError(f"the {wanted.noun} has {name} = {value!r}; it must be {listing}")


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
