"""Folders that are written atomically.

A folder is written next to its target under a unique name, flushed to disk, and renamed. A rename cannot replace a
folder that has files in it, so the previous one is first renamed to `NAME.previous`; if a process is killed between the
two renames, `find_folder` falls back to it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from vsezoo.errors import StorageError, explain_system
from vsezoo.storage.atomic_file import flush
from vsezoo.storage.leftovers import name_temporary, remove_leftovers

LOOKS = 5
TORCH_WRITES = re.compile(r"write\(\): fd \d+ failed with|PytorchStreamWriter failed")
"""In the errors of `torch.save` when a file cannot be written."""


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
            _clear(previous, target)
            target.rename(previous)
        temporary.rename(target)
        flush(target.parent)
        _clear(previous, target)


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
        remove_leftovers(target)
        named = name_temporary(target)
        named.mkdir()
        temporary = named
        yield temporary
    except (OSError, SafetensorError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not TORCH_WRITES.search(str(error)):
            raise
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


def _previous(target: Path) -> Path:
    return target.parent / f"{target.name}.previous"  # with_name fails for ".", which has no name


def _clear(folder: Path, target: Path) -> None:
    """Remove a folder, or give it a temporary name: one that is read on a network disk cannot be removed yet."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        folder.rename(name_temporary(target))
