"""Files that are written whole or not at all: under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vsezoo.errors import StorageError, explain_system
from vsezoo.storage.leftovers import name_temporary, remove, remove_leftovers

COPIED = 2**24
"""Bytes that are copied at a time."""


@contextmanager
def replace_file(path: Path) -> Iterator[BinaryIO]:
    """Context manager for a stream; its content is at `path` when the block ends without an error.

    Paths that are not regular files, such as `/dev/stdout`, are written directly; links are followed.

    Raises:
        StorageError: when it cannot be written; an existing file is left unchanged. Also for a pipe that no program
            reads: opening it would wait for one.
    """
    with explain_unwritten(path):
        replaces = path.is_file() or not path.exists()
    if not replaces:
        with explain_unwritten(path):
            stream = _open_special(path)
        try:
            yield stream
        finally:
            with explain_unwritten(path):
                stream.close()  # writes the rest of the buffer
        return
    with prepare_file(path) as temporary:
        with explain_unwritten(path):
            stream = temporary.open("wb")
        try:
            yield stream
        finally:
            with explain_unwritten(path):
                stream.close()


@contextmanager
def prepare_file(path: Path) -> Iterator[Path]:
    """Context manager for the path of a temporary file, which becomes `path` when the block ends without an error.

    Raises:
        StorageError: when it cannot be written; an existing file is left unchanged. Errors of the block stay as they
            are. Also for what `require_replaceable` refuses.
    """
    with explain_unwritten(path):
        target = Path(os.path.realpath(path))  # Path.resolve raises various errors for a loop of links
        require_replaceable(target)
        target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    temporary = name_temporary(target)
    try:
        yield temporary
        with explain_unwritten(path):
            flush(temporary)
            temporary.replace(target)
            flush(target.parent)
    finally:
        remove(temporary)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file.

    Raises:
        StorageError: see `replace_file`.
    """
    with replace_file(path) as stream, explain_unwritten(path):
        stream.write(content)


def detach(path: Path) -> None:
    """Give a file that is about to be changed in place content of its own, if it has other names (hard links).

    A copy of a folder by `cp --link`, as backups are made, would change with it.

    Raises:
        StorageError: see `replace_file`.
    """
    with explain_unwritten(path):
        if not path.is_file() or path.stat().st_nlink == 1:
            return
        with path.open("rb") as source, replace_file(path) as stream:
            shutil.copyfileobj(source, stream, COPIED)


def require_replaceable(target: Path) -> None:
    """Raise StorageError for what exists and is not a plain file: it would be gone, and root may remove `/dev/null`."""
    if target.exists() and not target.is_file():
        remedy = "Write to a file, or to a name that does not exist."
        raise StorageError("exists and is not a plain file.", file=target, remedy=remedy)


def _open_special(path: Path) -> BinaryIO:
    descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb")


def flush(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explain_unwritten(path: Path) -> Iterator[None]:
    """Convert an error while writing a file to one message with a remedy."""
    try:
        yield
    except OSError as error:
        reason, remedy = explain_system(error)
        raise StorageError(f"cannot be written: {reason}.", file=path, remedy=remedy) from error
