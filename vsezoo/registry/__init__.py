"""The registry: from a name to an object, through the entry points of the installed distributions.

Why names instead of functions and import paths? Because recipes, checkpoints and command lines are text. A name can be
listed without importing torch, stored in a checkpoint without trusting it (loading an import path would run whatever it
points to), and provided by a package that vsezoo has never seen. vsezoo's own parts are registered in the same way.

How can I be sure that a decorator has run? None has to. Each kind of object has an entry-point group (`vsezoo.models`,
`vsezoo.losses`, see `kinds`) with entries `name = "module:attribute"` in the metadata of the installed distributions.
Every process reads this metadata itself, once, and imports nothing; a look-up imports one module. The decorator
`register` is for a notebook or a test: it needs no installation and works in the process that has executed it only.

A name that vsezoo itself registers always means vsezoo's object: other distributions may add names, but not change the
meaning of one. The way of a name: `distributions` (what is installed), `entry` (one name and its object), `find` and
`load` below. `audit/` checks what is registered. Only the standard library is imported.

Environment:
    VSEZOO_PLUGINS: the distributions that may register names, separated by commas; `none` or an empty value
        allows only vsezoo itself. If unset, all are allowed.
    VSEZOO_RAISE_PLUGIN_ERRORS: if 1, the original exception of a plugin that fails to import is raised.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from vsezoo.errors import ConflictError, UnknownNameError, UsageError, suggest_name
from vsezoo.registry.audit.api import API_VERSION as API_VERSION
from vsezoo.registry.distributions import Distribution as Distribution
from vsezoo.registry.distributions import list_distributions as list_distributions
from vsezoo.registry.entry import SESSION as SESSION
from vsezoo.registry.entry import Entry as Entry
from vsezoo.registry.entry import explain as explain
from vsezoo.registry.entry import session_objects
from vsezoo.registry.kinds import KINDS as KINDS
from vsezoo.registry.kinds import OWN as OWN
from vsezoo.registry.kinds import require_kind, require_type
from vsezoo.registry.names import natural_key as natural_key
from vsezoo.registry.names import normalize

_session: dict[tuple[str, str], Entry] = {}


def list_names(kind: str) -> list[str]:
    """Return the names of a kind in natural order, qualified if the bare name is ambiguous or means another object."""
    return [entry.label for entry in list_entries(kind)]


def list_entries(kind: str) -> list[Entry]:
    """Return the entries of allowed distributions and of this session in natural order, without importing anything."""
    return sorted(_gather(kind), key=lambda entry: natural_key(entry.label))


def _gather(kind: str) -> list[Entry]:
    """Return the entries in the order of their distributions: a look-up need not sort them."""
    require_kind(kind)
    installed = [
        entry for found in list_distributions() if found.allowed for entry in found.entries if entry.kind == kind
    ]
    session = [entry for entry in _session.values() if entry.kind == kind]
    count, taken = Counter(entry.name for entry in installed), {entry.name for entry in session}
    marked = [
        entry._replace(conflict=True) if entry.name in taken or (count[entry.name] > 1 and not entry.own) else entry
        for entry in installed
    ]
    return [*marked, *session]


def find(kind: str, name: str) -> Entry:
    """Return the entry of a name or of a qualified name `distribution:name`.

    Raises:
        UnknownNameError: when no allowed distribution registers it.
        ConflictError: when several register it and vsezoo is not among them.
    """
    for entry in _gather(kind):
        if name == entry.label or _is_qualified(name, entry):
            return entry
    rivals = [entry for entry in list_entries(kind) if entry.name == name]
    if rivals:
        listing = " and ".join(f"{entry.distribution} {entry.version}" for entry in rivals)
        raise ConflictError(
            f"The {KINDS[kind].noun} {name!r} is registered by {listing}.",
            remedy=f"Name one of them: {' or '.join(entry.qualified for entry in rivals)}.",
        )
    raise _describe_unknown(kind, name, list_entries(kind))


def split_argument(kind: str, text: str) -> tuple[str, str | None]:
    """Return the name and the argument of `NAME:ARGUMENT`.

    The name may be qualified. A text that is registered as a whole, such as `distribution:name`, has no argument, nor
    has an unknown name.

    Raises:
        ConflictError: when several distributions register the name.
    """
    colons = [place for place, letter in enumerate(text) if letter == ":"]
    for end in (len(text), *colons):
        try:
            find(kind, text[:end])
        except UnknownNameError:
            continue
        return text[:end], text[end + 1 :] if end < len(text) else None
    return text, None


def load(kind: str, name: str) -> Any:
    """Import and return the object of a name.

    Raises:
        UnknownNameError, ConflictError: see `find`.
        PluginError: when it cannot be imported or is not a valid object of its kind.
    """
    return find(kind, name).load()


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Return the names of all models, or of those that match a pattern, including aliases.

    Args:
        pattern: such as `vse*`; case is ignored.
        pretrained: list the checkpoints that have a name instead, which `load` takes, such as `vsepp.f8k_mobilenet`.
    """
    names = list_names("checkpoints" if pretrained else "models")
    return [name for name in names if fnmatchcase(name.lower(), pattern.lower())]


def list_datasets(pattern: str = "*") -> list[str]:
    """Return the names of all registered data sets, or of those that match a pattern."""
    return [name for name in list_names("datasets") if fnmatchcase(name.lower(), pattern.lower())]


def list_aliases(entry: Entry) -> list[str]:
    """Return the other names of the same object in its distribution."""
    return [
        other.label
        for other in list_entries(entry.kind)
        if (other.distribution, other.value) == (entry.distribution, entry.value) and other.name != entry.name
    ]


Registered = TypeVar("Registered")


def register(kind: str, name: str, *, replace: bool = False) -> Callable[[Registered], Registered]:
    """Register an object of this session, such as a class in a notebook: `@register("losses", "mine")`.

    Registering the name again replaces the object, so that a cell can be rerun. Other processes do not see it: use an
    entry point for anything permanent.

    Args:
        kind: one of `KINDS`.
        name: the name of the object.
        replace: take over a name that an installed distribution registers.

    Raises:
        UsageError: for a name that is already registered, or an object of the wrong type.
    """
    require_kind(kind)
    if not name or ":" in name:
        raise UsageError(f"{name!r} cannot be registered: a name must not be empty or contain a colon.")
    taken = [entry.qualified for entry in list_entries(kind) if entry.name == name and entry.distribution != SESSION]
    if taken and not replace:
        raise ConflictError(
            f"The {KINDS[kind].noun} {name!r} is already registered by {' and '.join(taken)}.",
            remedy="Choose another name, or pass replace=True.",
        )

    def keep(thing: Registered) -> Registered:
        try:
            require_type(kind, thing)
        except TypeError as error:
            raise UsageError(f"{name!r} cannot be registered: {error}.") from None
        module = getattr(thing, "__module__", type(thing).__module__)
        value = f"{module}:{getattr(thing, '__qualname__', type(thing).__qualname__)}"
        _session[kind, name] = Entry(kind, name, value, SESSION, "")
        session_objects[kind, name] = thing
        return thing

    return keep


@contextmanager
def session(*, empty: bool = False) -> Iterator[None]:
    """Forget at the end what `register` has added, and restore what it has replaced: for a test.

    Args:
        empty: begin without what this process has registered so far, as another process would.
    """
    before = dict(_session), dict(session_objects)
    if empty:
        _session.clear()
    try:
        yield
    finally:
        for registered, earlier in zip((_session, session_objects), before, strict=True):
            registered.clear()
            registered.update(earlier)


def _describe_unknown(kind: str, name: str, known: list[Entry]) -> UnknownNameError:
    noun, listing = KINDS[kind].noun, KINDS[kind].listing
    for found in list_distributions():
        named = any(e.kind == kind and (e.name == name or _is_qualified(name, e)) for e in found.entries)
        if named and not found.allowed:
            return UnknownNameError(
                f"The {noun} {name!r} is registered by {found.name}, which is not allowed here: "
                f"VSEZOO_PLUGINS is {os.environ['VSEZOO_PLUGINS']!r}.",
                remedy=f"Add {found.name} to VSEZOO_PLUGINS, unset the variable, or omit --no-plugins.",
            )
    names = [entry.qualified if ":" in name else entry.label for entry in known]
    few = 0 < len(names) < 10
    hint = f"Known: {', '.join(names)}." if few else f"`vsezoo {listing}` lists all."
    return UnknownNameError(
        f"There is no {noun} {name!r}.",
        remedy=suggest_name(name, names, hint),
    )


def _is_qualified(name: str, entry: Entry) -> bool:
    distribution, colon, bare = name.partition(":")
    return bool(colon) and bare == entry.name and normalize(distribution) == normalize(entry.distribution)
