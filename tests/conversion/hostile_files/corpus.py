"""The list of the files, and what writes one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Writer = Callable[[Path, Path], None]
CORPUS: dict[str, tuple[str, Writer]] = {}
"""The reader (`pickle`, `torch`, `npz`, `npy`, `vocabulary`) and the writer of each file; both paths are its arguments:
that of the file, and that of one which must never come to be."""


def add(reader: str, name: str, content: bytes | Callable[[Path], bytes]) -> None:
    """Add a file of this content, or of what a function makes of the path that must never come to be."""

    def write(path: Path, canary: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content(canary))

    key = f"{reader}-{name}"
    assert key not in CORPUS
    CORPUS[key] = reader, write


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def sparse(size: int, head: bytes) -> Writer:
    """Write a file of this size, of which only the head is on the disk."""

    def write(path: Path, canary: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return write
