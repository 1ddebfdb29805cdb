"""Names of temporary files and folders that tell whose they are, so that those of killed processes can be removed.

    .NAME.HOST-PROCESS-RANDOM.tmp

Whoever writes a file or folder removes what killed processes left beside it. What a process of another machine wrote,
as on a network disk, is removed when it is a day old.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PATTERN = re.compile(r"\.(?P<name>.+)\.(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.tmp", re.DOTALL)
HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
OLD = 24 * 3600.0
"""Seconds after which a temporary file of another machine counts as left behind."""
LONGEST = 200  # characters of the name that are kept: a file system allows 255 bytes


def name_temporary(target: Path) -> Path:
    """Return a path beside `target` for writing it, which no other process uses."""
    return target.parent / f".{_shorten(target.name)}.{HOST}-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def remove_leftovers(target: Path) -> None:
    """Remove the temporary files and folders that killed processes left beside `target`, as far as possible."""
    name = _shorten(target.name)
    for path, owner in _list_temporary(target.parent):
        if owner == name:
            remove(path)


def list_leftovers(folder: Path) -> Iterator[Path]:
    """Yield what killed processes left in a folder and the folders in it."""
    if folder.is_dir():
        for path, _ in _list_temporary(folder):
            yield path
        for inner in sorted(folder.iterdir()):
            if inner.is_dir() and not inner.is_symlink() and not PATTERN.fullmatch(inner.name):
                yield from list_leftovers(inner)


def remove(path: Path) -> None:
    """Remove a file or folder, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _shorten(name: str) -> str:
    return name.encode("utf-8", "surrogateescape")[:LONGEST].decode("utf-8", "ignore") or "_"


def _list_temporary(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield the temporary files in a folder whose process has ended, and the names of what they were for."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(".tmp")]  # noqa: PTH208 (folders may be large)
    except OSError:
        return
    for name in names:
        found = PATTERN.fullmatch(name)
        if found and _is_left(folder / name, found["host"], int(found["process"])):
            yield folder / name, found["name"]


def _is_left(path: Path, host: str, process: int) -> bool:
    if host == HOST:
        return not _is_running(process)
    try:
        return time.time() - path.lstat().st_mtime > OLD
    except OSError:
        return False


def _is_running(process: int) -> bool:
    if os.name == "nt":  # os.kill would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        return True
    return True
