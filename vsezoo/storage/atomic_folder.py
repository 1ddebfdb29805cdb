"""Folders that are written atomically.

A folder is written next to its target under a unique name, flushed to disk, and renamed. A rename cannot replace a
folder that has files in it, so the previous one is first renamed to `NAME.previous`; if a process is killed between the
two renames, `find_folder` falls back to it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from vsezoo.errors import StorageError, explain_system

LOOKS = 5


@contextmanager
def replace_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder, which becomes `target` when the block ends without an error.

    Raises:
        StorageError: when a file cannot be written (full disk, no permission); the previous target is untouched.
    """
    with make_temporary(target) as temporary:
        yield temporary
        for file in temporary.iterdir():
            flush(file)
        flush(temporary)
        previous = _previous(target)
        if target.exists():
            shutil.rmtree(previous, ignore_errors=True)
            target.rename(previous)
        temporary.rename(target)
        flush(target.parent)
        shutil.rmtree(previous, ignore_errors=True)


@contextmanager
def make_temporary(target: Path) -> Iterator[Path]:
    """Yield an empty folder next to `target`, which is removed when the block ends, if it still exists.

    Raises:
        StorageError: when a file cannot be written.
    """
    temporary: Path | None = None
    kept = ""
    try:
        if find_folder(target).exists():
            kept = " The previous state is kept."
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        temporary.chmod(0o777 & ~_umask())
        yield temporary
    except (OSError, SafetensorError) as error:
        reason, remedy = explain_system(error)
        raise StorageError(f"cannot be written: {reason}.", file=target, remedy=remedy + kept) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def find_folder(target: Path) -> Path:
    """Return `target`, or its previous version if the writing process was killed between the two renames."""
    for _ in range(LOOKS):  # another process may replace it between the two checks, so try again
        if target.exists():
            return target
        if _previous(target).exists():
            return _previous(target)
    return target


def remove_leftovers(target: Path) -> None:
    """Remove half-written folders that killed processes left next to `target`."""
    for folder in target.parent.glob(f".{target.name}.*.tmp"):
        shutil.rmtree(folder, ignore_errors=True)


def _previous(target: Path) -> Path:
    return target.parent / f"{target.name}.previous"  # with_name fails for ".", which has no name


def flush(path: Path) -> None:
    """Flush a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
