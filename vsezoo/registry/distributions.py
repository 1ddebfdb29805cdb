"""Installed distributions that register something, read from their metadata."""

from __future__ import annotations

import functools
import os
import re
import warnings
from collections.abc import Mapping
from typing import NamedTuple

from vsezoo.errors import suggest_name
from vsezoo.registry.audit.api import PluginWarning, choose_version
from vsezoo.registry.entry import Entry, describe_error
from vsezoo.registry.installed import Metadata, find_metadata, read_entry_points
from vsezoo.registry.kinds import KINDS, OWN
from vsezoo.registry.names import natural_key, normalize

API = "api"
"""Last part of the entry-point group whose names are versions of the plugin API."""


class Fault(NamedTuple):
    """A problem in the metadata of a distribution or, if `kind` and `name` are set, of one entry point."""

    kind: str
    name: str
    value: str
    reason: str


class Distribution(NamedTuple):
    """An installed distribution that registers something."""

    name: str
    version: str
    api_version: int
    location: str
    entries: tuple[Entry, ...]
    faults: tuple[Fault, ...]

    @property
    def allowed(self) -> bool:
        """Whether `VSEZOO_PLUGINS` allows it to register names."""
        listed = os.environ.get("VSEZOO_PLUGINS")
        if listed is None or normalize(self.name) == OWN:
            return True
        return normalize(self.name) in {normalize(name.strip()) for name in listed.split(",")} - {"none"}


@functools.cache  # reading the metadata of every installed distribution is slow
def list_distributions() -> list[Distribution]:
    """Return the distributions that register something, allowed or not, sorted by name."""
    found: dict[str, Distribution] = {}
    for metadata in find_metadata(f"{OWN}."):
        if not metadata.folder.startswith("~"):  # pip renames a distribution before it removes it
            read = _read_distribution(metadata)
            found.setdefault(normalize(read.name), read)  # twice on sys.path: Python imports the first
    _warn_of_unknown(found)
    return sorted(found.values(), key=lambda read: natural_key(read.name))


def _warn_of_unknown(found: Mapping[str, Distribution]) -> None:
    """Warn if `VSEZOO_PLUGINS` names a distribution that does not exist, since a typing error would disable one."""
    for name in filter(None, map(str.strip, os.environ.get("VSEZOO_PLUGINS", "").split(","))):
        if normalize(name) not in {*found, OWN, "none"}:
            names = [read.name for read in found.values() if normalize(read.name) != OWN]
            hint = suggest_name(name, names, "`vsezoo list-plugins` lists those that do.")
            problem = f"VSEZOO_PLUGINS names {name!r}, but no installed distribution of that name registers anything."
            warnings.warn(f"{problem} {hint}", PluginWarning, stacklevel=3)


def _read_distribution(metadata: Metadata) -> Distribution:
    name, version, faults = _read_name(metadata)
    points: list[tuple[str, str, str]] = []
    try:
        points = list(read_entry_points(metadata.entry_points, f"{OWN}."))
    except ValueError as error:  # damaged metadata must not stop the other distributions
        faults.append(Fault("", "", "", describe_error(error)))

    values: dict[tuple[str, str], str] = {}
    versions: list[int] = []
    for group, key, value in points:
        kind = group.removeprefix(f"{OWN}.")
        reason = _find_fault(kind, key)
        if not reason and values.get((kind, key), value) != value:
            reason = "the distribution registers this name twice; the first counts"
        if reason:
            faults.append(Fault(kind, key, value, reason))
        elif kind == API:
            versions.append(int(key))
        else:
            values[kind, key] = value
    api = choose_version(name, versions)
    entries = tuple(Entry(kind, key, value, name, version, api) for (kind, key), value in values.items())
    return Distribution(name, version, api, metadata.location, entries, tuple(faults))


def _read_name(metadata: Metadata) -> tuple[str, str, list[Fault]]:
    """Return name and version, and the problem if they cannot be read.

    Parsing METADATA as a mail message, which it is, would take longer than everything else together.
    """
    reason = "METADATA has no name and version: the installation is damaged"
    if metadata.problem is not None:
        reason = f"METADATA cannot be read: {describe_error(metadata.problem)}"
    fields = dict(re.findall(r"^(Name|Version):[ \t]*(\S+)", metadata.fields.partition("\n\n")[0], re.MULTILINE))
    if fields.keys() == {"Name", "Version"}:
        return fields["Name"], fields["Version"], []
    stem = metadata.folder.rpartition(".")[0].partition("-")
    return fields.get("Name", stem[0] or "unknown"), fields.get("Version", stem[2]), [Fault("", "", "", reason)]


def _find_fault(kind: str, name: str) -> str:
    if kind == API:
        return "" if re.fullmatch("[1-9][0-9]*", name) else "a version of the plugin API must be a whole number"
    if kind not in KINDS:
        return f"unknown group {OWN}.{kind}. {suggest_name(kind, KINDS)}".strip()
    return "a name must not be empty or contain a colon" if not name or ":" in name else ""
