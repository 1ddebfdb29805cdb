"""From the names that a list has to the files of the pictures."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from vsezoo.data.pictures.picture_file import ENDINGS
from vsezoo.errors import DataError


def find_files(folder: Path, names: Sequence[str]) -> list[str | None]:
    """Return the file of each name; None where there is none.

    A name is a path as it is seen from the folder, or from a folder in it or in one of these: `a.jpg` may be
    `images/a.jpg` or `images/train/a.jpg`. Capitals count, as they do on most disks.

    Raises:
        DataError: for a name that is not in the folder itself, and is in several of the others.
    """
    places = [folder, *_list_folders(folder)]

    @functools.cache  # a folder is listed once: asking for each of 100,000 files is slow
    def list_places(parent: str) -> list[tuple[str, frozenset[str]]]:
        return [(str(place / parent), _list_folder(place / parent)) for place in places]

    return [_find_file(name, list_places(name[: name.rfind("/") + 1]), folder) for name in names]


def find_similar(folder: Path, name: str) -> Path | None:
    """Return a file that has this name but for its capitals, or for the strokes between folders that Windows writes."""
    name = name.replace("\\", "/")
    for place in (folder, *_list_folders(folder)):
        parent, wanted = (place / name).parent, Path(name).name.lower()
        for found in _list_folder(parent):
            if found.lower() == wanted:
                return parent / found
    return None


def list_pictures(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder that end like pictures, in the order of their paths, hidden ones not.

    A link to nothing is among them, and a pipe: why they cannot be read, is told by what reads them.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield Path(place, name)


def _find_file(name: str, places: Sequence[tuple[str, frozenset[str]]], folder: Path) -> str | None:
    file = name[name.rfind("/") + 1 :]
    found = [f"{place}/{file}" for place, files in places if file in files]
    if len(found) > 1 and file not in places[0][1]:
        shown = " and ".join(str(Path(path).relative_to(folder)) for path in found)
        remedy = "Move the others away, or write into the list in which folder it is."
        raise DataError(f"has {len(found)} files {name!r}: {shown}.", file=folder, remedy=remedy)
    return found[0] if found else None


def _list_folder(folder: Path) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
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
