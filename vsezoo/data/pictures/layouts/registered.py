"""The registered layouts: vsezoo's own and those of plugins. Imports neither torch nor numpy."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from vsezoo import registry
from vsezoo.data.pictures.listing import Listing
from vsezoo.errors import DataError, PluginError, VsezooError
from vsezoo.registry import Entry
from vsezoo.registry.audit.api import PluginWarning
from vsezoo.registry.entry import describe_error

ORDER = (
    "karpathy",
    "flickr8k",
    "flickr30k",
    "coco",
    "table",
    "coco-json",
    "multi30k",
    "fashion-iq",
    "shards",
    "texts",
    "parquet",
)
"""vsezoo's own layouts in order of precedence."""


def recognise(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Return the reader for the layout of a folder; None if no layout recognises it.

    vsezoo's own layouts come first, so that installing a plugin does not change how a folder is read.

    Args:
        folder: the folder of pictures.
        names: names of its files and folders, sorted.

    Raises:
        DataError: when layouts of several plugins recognise it, or for damaged files.
    """
    entries = registry.list_entries("layouts")
    own = {entry.name: entry for entry in entries if entry.own}
    for name in ORDER:
        if found := own[name].load()(folder, names):
            return partial(_read, name, found)
    claims = {entry.qualified: found for entry in entries if not entry.own and (found := _ask(entry, folder, names))}
    if len(claims) > 1:
        raise DataError(
            f"is recognised by several layouts: {' and '.join(claims)}.",
            file=folder,
            remedy="Enable only one of the plugins: set VSEZOO_PLUGINS to its name.",
        )
    return next((partial(_read, name, found) for name, found in claims.items()), None)


def list_recognised(folder: Path, without: Path | None = None) -> list[str]:
    """Return the names of all of vsezoo's own layouts that a folder has, of which the first is read.

    Args:
        folder: the folder of pictures.
        without: a file in it that is not looked at.
    """
    names = sorted(path.name for path in folder.iterdir() if path != without)
    own = {entry.name: entry for entry in registry.list_entries("layouts") if entry.own}
    found = []
    for name in ORDER:
        with suppress(DataError):  # several files of a layout that is not read
            found += [name] if own[name].load()(folder, names) else []
    return found


def list_plugin_layouts() -> list[str]:
    """Return the names of the layouts that plugins register."""
    return [entry.label for entry in registry.list_entries("layouts") if not entry.own]


def _read(name: str, read: Callable[[], Listing]) -> Listing:
    return replace(read(), layout=name)


def _ask(entry: Entry, folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Return the result of a plugin's layout; if it fails, warn and recognise nothing."""
    try:
        found: Callable[[], Listing] | None = entry.load()(folder, names)
        return found
    except PluginError as error:
        warnings.warn(error.problem, PluginWarning, stacklevel=2)
    except VsezooError:
        raise
    except Exception as error:
        if os.environ.get("VSEZOO_RAISE_PLUGIN_ERRORS") == "1":
            raise
        problem = f"The layout {entry.name!r} of {entry.distribution} {entry.version} fails: {describe_error(error)}"
        warnings.warn(problem, PluginWarning, stacklevel=2)
    return None
