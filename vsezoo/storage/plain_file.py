"""Plain files: opened without waiting, read up to a limit.

Opening a pipe waits for its writer, and reading some devices never ends: a file of an untrusted folder may be either.
"""

from __future__ import annotations

import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from vsezoo.errors import AbsentDataError, DataError, VsezooError, explain_system

Content = bytes | bytearray | mmap.mmap


def open_plain(file: Path) -> BinaryIO:
    """Open a plain file for reading.

    Raises:
        OSError: if it cannot be opened, or is a pipe, a socket, a device or a folder.
    """
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        require_plain(os.fstat(descriptor), file)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_plain(status: os.stat_result, file: Path) -> None:
    """Raise OSError unless this is the status of a plain file."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.ENODEV, "it is not a plain file", str(file))


def read_plain(file: Path, most: int | None = None) -> bytes:
    """Return the content of a plain file of at most so many bytes; None: of any size.

    Raises:
        OSError: see `open_plain`; also for a larger file.
    """
    with open_plain(file) as stream:
        content = stream.read() if most is None else stream.read(most + 1)
    if most is not None and len(content) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(file))
    return content


def require_path(path: Path, remedy: str = "Check the path.") -> None:
    """Check that there is a file or a folder that the user has named.

    Raises:
        AbsentDataError: if there is none. What a data set lacks of its own files is a DataError.
    """
    if not path.exists():
        raise AbsentDataError("does not exist.", file=path, remedy=remedy)


@contextmanager
def explain_unread(file: Path, error: type[VsezooError] = DataError, remedy: str = "") -> Iterator[None]:
    """Convert an error while reading a file to one message with a remedy.

    Args:
        file: its path.
        error: the class of the message.
        remedy: what to do; empty: what the error of the system suggests.
    """
    try:
        yield
    except OSError as problem:
        reason, advice = explain_system(problem)
        raise error(f"cannot be read: {reason}.", file=file, remedy=remedy or advice) from problem


def map_content(stream: BinaryIO) -> Content:
    """Return the content of a file, which does not change when another file takes its name.

    If the file system cannot map files, the content is read.
    """
    try:
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
    except (OSError, ValueError):  # ValueError: an empty file
        return bytearray(stream.read())  # torch requires writable memory
