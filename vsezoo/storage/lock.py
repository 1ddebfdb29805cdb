"""Locks between processes: of the operating system, or a lock file where the file system has none."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo.errors import VsezooWarning

if TYPE_CHECKING:
    from filelock import BaseFileLock

WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
"""Errors of file systems without locks, such as some network disks."""
SOFT = ".held"
"""Ending of the lock file in its place, which exists as long as the lock is held."""

_warned: set[Path] = set()


class BusyError(Exception):
    """Another process holds the lock."""


@contextmanager
def hold_lock(file: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold a lock while the block runs.

    Args:
        file: its file, in an existing folder.
        wait: wait for a process that holds it.

    Raises:
        BusyError: when another process holds it, unless `wait`.
        OSError: when the file cannot be written.
    """
    lock = _acquire(file, -1 if wait else 0)
    try:
        yield
    finally:
        lock.release()


def _acquire(file: Path, timeout: float) -> BaseFileLock:
    from filelock import FileLock, SoftFileLock, Timeout

    try:
        try:
            return _take(FileLock(file, timeout=timeout))
        except NotImplementedError:
            pass
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        marker = file.with_name(f"{file.name}{SOFT}")
        if file.parent not in _warned:
            _warned.add(file.parent)
            warnings.warn(
                f"{file.parent}: the file system has no locks, so a lock file is used: if a process is killed, remove "
                f"{marker.name} there.",
                VsezooWarning,
                stacklevel=3,
            )
        return _take(SoftFileLock(marker, timeout=timeout))
    except Timeout:
        raise BusyError(str(file)) from None


def _take(lock: BaseFileLock) -> BaseFileLock:
    lock.acquire()
    return lock
