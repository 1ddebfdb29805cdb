"""Write files of other codebases."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from vsezoo.storage.atomic_file import explain_unwritten

PROTOCOL = 2
"""Pickle protocol: the last one that Python 2 reads."""


@contextmanager
def create_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing.

    Raises:
        StorageError: if it cannot be written.
    """
    with explain_unwritten(path), path.open("wb") as stream:
        yield stream


def write_pickle(value: Any, path: Path) -> Path:
    """Write plain data as a pickle that Python 2 can read as well, and return its path."""
    with create_file(path) as stream:
        pickle.dump(value, stream, PROTOCOL)
    return path
