"""From the names that a list has to the files of the pictures."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from vsezoo.data.picture_file import ENDINGS
from vsezoo.errors import DataError


def find_files(folder: Path, names: Sequence[str]) -> list[Path | None]:
    """Return the file of each name; None where there is none.

    A name is a path as it is seen from the folder, or from a folder in it or in one of these: `a.jpg` may be
    `images/a.jpg` or `images/train/a.jpg`. Capitals count, as they do on most disks.

    Raises:
        DataError: for a name that is not in the folder itself, and is in several of the others.
    """
    listing = functools.cache(_list_folder)  # a folder is listed once: asking for each of 100,000 files is slow
    below = list(_list_folders(folder))
    return [_find_file(folder, below, Path(name), listing) for name in names]


def find_similar(folder: Path, name: str) -> Path | None:
    """Return a file that has this name but for its capitals."""
    for place in (folder, *_list_folders(folder)):
        parent, wanted = (place / name).parent, Path(name).name.lower()
        for found in _list_folder(parent):
            if found.lower() == wanted:
                return parent / found
    return None


def list_pictures(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder that end like pictures, in the order of their paths, hidden ones not."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield Path(place, name)


def _find_file(
    folder: Path, below: Sequence[Path], name: Path, listing: Callable[[Path], frozenset[str]]
) -> Path | None:
    if name.name in listing((folder / name).parent):
        return folder / name
    found = [place / name for place in below if name.name in listing((place / name).parent)]
    if len(found) > 1:
        files = " and ".join(str(path.relative_to(folder)) for path in found)
        remedy = "Move the others away, or write into the list in which folder it is."
        raise DataError(f"has {len(found)} files {str(name)!r}: {files}.", file=folder, remedy=remedy)
    return found[0] if found else None


def _list_folder(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if not entry.is_dir())
    except OSError:
        return frozenset()


def _list_folders(folder: Path, depth: int = 2) -> Iterator[Path]:
    """Yield the folders in a folder, and those in them, hidden ones not."""
    try:
        with os.scandir(folder) as entries:
            found = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError:
        return
    for name in found:
        yield folder / name
        if depth > 1:
            yield from _list_folders(folder / name, depth - 1)
