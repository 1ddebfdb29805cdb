"""The registry: from a name to an object, through the entry points of the installed distributions.

Each kind of object has one entry-point group, `vsezoo.models`, `vsezoo.losses` and so on, with values of the
form `module:attribute`. Names come from package metadata with nothing imported; a look-up imports one module.
Nothing is handed from process to process: each one reads the metadata itself, once. The built-in models come by
exactly this route. Imports nothing but the standard library.

Environment:
    VSEZOO_PLUGINS: the distributions that may register names, separated by commas; `none` or an empty value
        allows no other than vsezoo itself. Unset, all are allowed.
    VSEZOO_RAISE_PLUGIN_ERRORS: if 1, the exception of a plugin that fails to import is raised as it is.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from importlib import metadata
from typing import Any, NamedTuple, TypeVar

from vsezoo.errors import ConflictError, PluginError, UnknownNameError, UsageError, suggest_name

OWN = "vsezoo"
"""The distribution that is always allowed: this one."""

SESSION = "session"
"""What stands for the distribution of an object that `register` took."""


class Kind(NamedTuple):
    """What the group of a kind holds."""

    noun: str
    base: str  # the class that its objects are instances or subclasses of
    subclass: bool
    listing: str  # the command that lists the names


KINDS = {
    "models": Kind("model", "vsezoo.recipe:Recipe", False, "list-models"),
    "image_encoders": Kind("image encoder", "vsezoo.interfaces:ImageEncoder", True, "list-plugins"),
    "text_encoders": Kind("text encoder", "vsezoo.interfaces:TextEncoder", True, "list-plugins"),
    "similarities": Kind("similarity", "vsezoo.interfaces:Similarity", True, "list-plugins"),
    "losses": Kind("loss", "vsezoo.interfaces:Loss", True, "list-plugins"),
    "datasets": Kind("data set", "vsezoo.data.source:DataSource", False, "list-datasets"),
    "importers": Kind("importer", "vsezoo.legacy.importer:Importer", True, "convert --help"),
    "commands": Kind("command", "click:Command", False, "--help"),
}
"""The kinds, by the last part of their entry-point group."""


@dataclass(frozen=True)
class Entry:
    """A registered name.

    Attributes:
        kind: one of `KINDS`.
        name: as registered.
        value: where the object is, `module:attribute`.
        distribution: which registers it.
        version: of that distribution.
        conflict: whether the name alone does not mean this object, because others register it too.
    """

    kind: str
    name: str
    value: str
    distribution: str
    version: str
    conflict: bool = False

    @property
    def qualified(self) -> str:
        """The name with its distribution, `distribution:name`."""
        return f"{self.distribution}:{self.name}"

    @property
    def label(self) -> str:
        """The shortest form that `find` takes: the name, or the qualified name where there is a conflict."""
        return self.qualified if self.conflict else self.name

    def load(self) -> Any:
        """Import and return the object.

        Raises:
            PluginError: when it cannot be imported or is not what its kind wants; `explain` says why.
        """
        if self.distribution == SESSION:
            return _session[self.kind, self.name][1]
        try:
            with redirect_stdout(sys.stderr):  # standard output is for results, such as the JSON of a listing
                found = _import(self.value)
            _require_type(self.kind, found)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit and the panics of compiled extensions are no Exception
            if os.environ.get("VSEZOO_RAISE_PLUGIN_ERRORS") == "1":
                raise
            raise PluginError(
                f"The {KINDS[self.kind].noun} {self.name!r} of {self.distribution} {self.version} cannot be loaded "
                f"from {self.value}: {_last_line(error)}",
                remedy=f"The installation of {OWN} is damaged: install it again."
                if _normalize(self.distribution) == OWN
                else f"Upgrade or uninstall {self.distribution}, or leave all plugins out with `vsezoo --no-plugins`.",
            ) from error
        return found


class Distribution(NamedTuple):
    """An installed distribution that registers something."""

    name: str
    version: str
    location: str
    entries: tuple[Entry, ...]
    problem: str  # why its entry points cannot be read; empty if they can

    @property
    def allowed(self) -> bool:
        """Whether `VSEZOO_PLUGINS` lets it register names."""
        return _allows(self.name)


_session: dict[tuple[str, str], tuple[Entry, Any]] = {}


def list_names(kind: str) -> list[str]:
    """Return the names of a kind in natural order, qualified where two distributions register one name."""
    return [entry.label for entry in list_entries(kind)]


def list_entries(kind: str) -> list[Entry]:
    """Return what allowed distributions and this session register, in natural order, with nothing imported."""
    _require_kind(kind)
    installed = [
        entry for found in list_distributions() if found.allowed for entry in found.entries if entry.kind == kind
    ]
    session = [entry for entry, _ in _session.values() if entry.kind == kind]
    count = Counter(entry.name for entry in installed + session)
    marked = [replace(entry, conflict=count[entry.name] > 1) for entry in installed]
    return sorted(marked + session, key=lambda entry: natural_key(entry.label))


@functools.cache  # reading the metadata of every installed distribution is slow
def list_distributions() -> list[Distribution]:
    """Return the distributions that register anything, allowed or not, in the order of their names."""
    found: dict[str, Distribution] = {}
    for distribution in metadata.distributions():
        try:
            # The name of a distribution is in its METADATA, slow to parse: look for our groups first.
            ours = "[vsezoo." in (distribution.read_text("entry_points.txt") or "")
        except (OSError, ValueError):
            continue  # unreadable, and not known to be ours
        if ours:
            read = _read_distribution(distribution)
            found.setdefault(_normalize(read.name), read)  # twice on sys.path: Python imports the first
    return sorted(found.values(), key=lambda read: natural_key(read.name))


def find(kind: str, name: str) -> Entry:
    """Return the entry of a name or of a qualified name `distribution:name`.

    Raises:
        UnknownNameError: when no allowed distribution registers it.
        ConflictError: when several do.
    """
    known = list_entries(kind)
    for entry in known:
        if name == entry.label or _is_qualified(name, entry):
            return entry
    rivals = [entry for entry in known if entry.name == name]
    if rivals:
        listing = " and ".join(f"{entry.distribution} {entry.version}" for entry in rivals)
        raise ConflictError(
            f"The {KINDS[kind].noun} {name!r} is registered by {listing}.",
            remedy=f"Say which: {' or '.join(entry.qualified for entry in rivals)}.",
        )
    raise _describe_unknown(kind, name, known)


def split_argument(kind: str, text: str) -> tuple[str, str | None]:
    """Return the name and the argument of `NAME:ARGUMENT`.

    The name may be qualified. What is registered as a whole, such as `distribution:name`, has no argument, nor has
    what is not registered.

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
        PluginError: when it cannot be imported or is not what its kind wants.
    """
    return find(kind, name).load()


def list_models(pattern: str = "*") -> list[str]:
    """Return every name that `create_model` and `train` take, aliases included, or those that match a pattern."""
    return [name for name in list_names("models") if fnmatchcase(name.lower(), pattern.lower())]


def list_aliases(entry: Entry) -> list[str]:
    """Return the other names that the distribution gives to the same object."""
    return [
        other.label
        for other in list_entries(entry.kind)
        if (other.distribution, other.value) == (entry.distribution, entry.value) and other.name != entry.name
    ]


Registered = TypeVar("Registered")


def register(kind: str, name: str, *, replace: bool = False) -> Callable[[Registered], Registered]:
    """Register an object of this session, such as a class in a notebook: `@register("losses", "mine")`.

    Registering the name once more replaces the object, so that a cell can be run again. Worker processes and
    other programs do not see it: what shall last belongs into an entry point.

    Args:
        kind: one of `KINDS`.
        name: how it is found.
        replace: allow a name that an installed distribution registers; the name then means this object.

    Raises:
        UsageError: for a name that is taken, or an object of the wrong type.
    """
    _require_kind(kind)
    if not name or ":" in name:
        raise UsageError(f"{name!r} is no name to register: it must not be empty or contain a colon.")
    taken = [entry.qualified for entry in list_entries(kind) if entry.name == name and entry.distribution != SESSION]
    if taken and not replace:
        raise ConflictError(
            f"The {KINDS[kind].noun} {name!r} is registered already, by {' and '.join(taken)}.",
            remedy="Choose another name, or pass replace=True.",
        )

    def keep(thing: Registered) -> Registered:
        try:
            _require_type(kind, thing)
        except TypeError as error:
            raise UsageError(f"{name!r} cannot be registered: {error}.") from None
        module = getattr(thing, "__module__", type(thing).__module__)
        value = f"{module}:{getattr(thing, '__qualname__', type(thing).__qualname__)}"
        _session[kind, name] = Entry(kind, name, value, SESSION, ""), thing
        return thing

    return keep


def explain(error: PluginError) -> str:
    """Return why loading failed, in one line: the last of the traceback."""
    return _last_line(error.__cause__ or error)


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """Return what sorts names as people do: without regard to case, and vse2 before vse10."""
    parts = [part for part in re.split(r"(\d+)", text.lower()) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _read_distribution(distribution: metadata.Distribution) -> Distribution:
    name, version, found, problem = "unknown", "", dict[Entry, None](), ""
    try:
        name, version = distribution.metadata["Name"] or name, distribution.version or version
        for point in distribution.entry_points:
            package, _, kind = point.group.partition(".")
            if package == OWN and kind in KINDS:
                found[Entry(kind, point.name, point.value, name, version)] = None
    except Exception as error:  # damaged metadata must not stop the other distributions
        problem = _last_line(error)
    return Distribution(name, version, str(distribution.locate_file("")), tuple(found), problem)


def _import(value: str) -> Any:
    module, _, path = value.partition(":")
    return functools.reduce(getattr, path.split("."), importlib.import_module(module))


def _require_type(kind: str, thing: object) -> None:
    wanted, base = KINDS[kind], _import(KINDS[kind].base)
    if wanted.subclass:
        if isinstance(thing, type) and issubclass(thing, base):
            return
    elif isinstance(thing, base):
        return
    given = f"the class {thing.__name__}" if isinstance(thing, type) else f"of type {type(thing).__name__}"
    form = "a subclass" if wanted.subclass else "an instance"
    raise TypeError(f"the object is {given}; a {wanted.noun} must be {form} of {wanted.base.replace(':', '.')}")


def _require_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is no kind of registered object.", remedy=f"Kinds: {', '.join(KINDS)}.")


def _describe_unknown(kind: str, name: str, known: list[Entry]) -> UnknownNameError:
    noun, listing = KINDS[kind].noun, KINDS[kind].listing
    for found in list_distributions():
        named = any(e.kind == kind and (e.name == name or _is_qualified(name, e)) for e in found.entries)
        if named and not found.allowed:
            return UnknownNameError(
                f"The {noun} {name!r} is registered by {found.name}, which is not allowed here: "
                f"VSEZOO_PLUGINS is {os.environ['VSEZOO_PLUGINS']!r}.",
                remedy=f"Add {found.name} to VSEZOO_PLUGINS, unset it, or leave out --no-plugins.",
            )
    names = [entry.qualified if ":" in name else entry.label for entry in known]
    return UnknownNameError(
        f"There is no {noun} {name!r}.",
        remedy=suggest_name(name, names, f"`vsezoo {listing}` lists what there is."),
    )


def _is_qualified(name: str, entry: Entry) -> bool:
    distribution, colon, bare = name.partition(":")
    return bool(colon) and bare == entry.name and _normalize(distribution) == _normalize(entry.distribution)


def _allows(distribution: str) -> bool:
    listed = os.environ.get("VSEZOO_PLUGINS")
    if listed is None or _normalize(distribution) == OWN:
        return True
    return _normalize(distribution) in {_normalize(name.strip()) for name in listed.split(",")} - {"none"}


def _normalize(distribution: str) -> str:
    """Return the form in which package indexes compare names."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _last_line(error: BaseException) -> str:
    import traceback  # slow to import, and wanted only after a failure

    return traceback.format_exception_only(error)[-1].strip().splitlines()[0]
