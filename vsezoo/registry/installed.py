"""Where installed distributions say what they register: `entry_points.txt` in their metadata folders.

`importlib.metadata` knows these folders as well, but takes longer to import than vsezoo's own code needs for
`vsezoo list-models`. It is used where `sys.path` has more than plain folders, and the tests compare the two.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from typing import NamedTuple

ENTRY_POINTS = "entry_points.txt"


class Metadata(NamedTuple):
    """The metadata of a distribution.

    Attributes:
        folder: name of the metadata folder, `name-version.dist-info`; empty if unknown.
        location: the folder on `sys.path` that it is in.
        entry_points: what `entry_points.txt` contains.
        fields: what `METADATA` contains, or `PKG-INFO`.
        problem: why `METADATA` cannot be read; empty if it can.
    """

    folder: str
    location: str
    entry_points: str
    fields: str
    problem: Exception | None


def find_metadata(group_prefix: str) -> Iterator[Metadata]:
    """Find the distributions with an entry-point group whose name begins with a prefix, in the order of `sys.path`.

    Files that cannot be read are skipped: they may not concern us.
    """
    if _has_plain_folders():
        yield from _find_in_folders(f"[{group_prefix}")
    else:
        yield from _find_with_importlib(f"[{group_prefix}")


def read_entry_points(text: str, group_prefix: str) -> Iterator[tuple[str, str, str]]:
    """Return group, name and value of each entry point in a group whose name begins with a prefix.

    Raises:
        ValueError: for a line without an equals sign.
    """
    group = ""
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        if line.startswith("[") and line.endswith("]"):
            group = line.strip("[]")
        elif line and not line.startswith("#") and group.startswith(group_prefix):
            name, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"line {number} of {ENTRY_POINTS} is not `name = value`")
            yield group, name.strip(), value.strip()


def _has_plain_folders() -> bool:
    """Return whether all metadata that `importlib.metadata` would find are in folders that are on `sys.path`."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    eggs_or_archives = (str(path).endswith(".egg") or os.path.isfile(path) for path in sys.path)
    return finders == [PathFinder] and not any(eggs_or_archives)


def _find_in_folders(mark: str) -> Iterator[Metadata]:
    for location in sys.path:
        try:
            names = os.listdir(location or ".")
        except OSError:
            continue
        for name in names:
            if not name.lower().endswith((".dist-info", ".egg-info")):
                continue
            folder = os.path.join(location or ".", name)
            try:
                entry_points = _read(folder, ENTRY_POINTS)
            except (OSError, ValueError):
                continue
            if mark in entry_points:
                fields, problem = "", None
                try:
                    fields = _read(folder, "METADATA") or _read(folder, "PKG-INFO")
                except (OSError, ValueError) as error:
                    problem = error
                yield Metadata(name, location or ".", entry_points, fields, problem)


def _find_with_importlib(mark: str) -> Iterator[Metadata]:
    from importlib import metadata

    for distribution in metadata.distributions():
        try:
            entry_points = distribution.read_text(ENTRY_POINTS) or ""
        except (OSError, ValueError):
            continue
        if mark in entry_points:
            fields, problem = "", None
            try:
                fields = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
            except (OSError, ValueError) as error:
                problem = error
            path = getattr(distribution, "_path", None)  # there is no public attribute
            folder = "" if path is None else path.name
            yield Metadata(folder, str(distribution.locate_file("")), entry_points, fields, problem)


def _read(folder: str, name: str) -> str:
    """Return the text of a file; empty if it is absent."""
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):  # as importlib.metadata
        return ""
