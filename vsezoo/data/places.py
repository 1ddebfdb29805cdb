"""Locations of data sets: `--data-root`, else `$VSEZOO_DATA` and `./data`. Imports neither torch nor numpy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from vsezoo import registry
from vsezoo.errors import DataError, list_names

ROOT_VARIABLE = "VSEZOO_DATA"

Found = TypeVar("Found")


def list_roots(root: Path | None) -> list[Path]:
    """Return the folders that contain the folders of data sets; `root`, if given, is the only one."""
    variable = os.environ.get(ROOT_VARIABLE)
    return [root] if root is not None else [*([Path(variable)] if variable else []), Path("data")]


def list_places(name: str, root: Path | None) -> Iterator[Path]:
    """Yield the candidate folders of a registered data set, the preferred one first."""
    for place in list_roots(root):
        yield place / name
        # The root may be the data set's own folder, but not that of another data set.
        basename = place.absolute().name
        if basename == name or basename not in registry.list_names("datasets"):
            yield place


def find_layout(
    name: str,
    places: Iterable[Path],
    inspect: Callable[[Path, Sequence[str]], Found | None],
    noun: str,
    wanted: str,
    origin: str = "",
    diagnose: Callable[[Path], str] = lambda folder: "",
) -> Found:
    """Return the result of `inspect` for the first folder that is recognised.

    Args:
        name: name of the data set.
        places: candidate folders.
        inspect: takes a folder and the sorted names in it, and returns None for an unknown layout.
        noun: what is looked for, such as "features".
        wanted: the accepted files.
        origin: where to get the data.
        diagnose: says of a folder that is not recognised what it seems to be, and what to do.

    Raises:
        DataError: when nothing is found, with the accepted files and the contents of each folder.
    """
    looked_in, seems = [], []
    for folder in places:
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError as error:
            looked_in.append(f"  {folder.absolute()} ({error.strerror})")
            continue
        found = inspect(folder, names)
        if found:
            return found
        seems += [text for text in (diagnose(folder),) if text]
        looked_in.append(f"  {folder.absolute()} ({f'contains {list_names(names, 8)}' if names else 'empty'})")
    remedy = [
        *seems,
        f"Expected files: {wanted}.",
        "Looked in:",
        *looked_in,
        *([f"Origin: {origin}"] if origin else []),
    ]
    raise DataError(f"The {noun} of data set {name!r} were not found.", remedy="\n".join(remedy))
