"""Arrays that are written row by row and may be larger than main memory: beyond a size they are in a temporary file."""

from __future__ import annotations

import tempfile
from typing import Any, BinaryIO

import numpy as np

from vsezoo.errors import StorageError, explain_system

IN_MEMORY = 2**28
"""Bytes that one of them has in main memory at most."""

Rows = np.ndarray[Any, np.dtype[np.float32]]


class ScratchArray:
    """An array of float32 that is appended to, and read when it is whole.

    The temporary file has no name, or loses it as soon as it is closed: nothing is left of it when the array is no
    longer used, also after an error.

    Args:
        width: numbers in a row.
    """

    def __init__(self, width: int) -> None:
        self._width, self._rows = width, 0
        self._blocks: list[Rows] = []
        self._file: BinaryIO | None = None

    def append(self, block: Rows) -> None:
        """Add rows `(n, width)`.

        Raises:
            StorageError: when there is no room for the temporary file.
        """
        self._rows += len(block)
        self._blocks.append(np.ascontiguousarray(block))
        if self._file is not None or self._rows * self._width * block.itemsize > IN_MEMORY:
            self._write()

    def finish(self) -> Rows:
        """Return all rows `(N, width)`; they can be written to."""
        if self._file is None:
            return np.concatenate(self._blocks) if self._blocks else np.empty((0, self._width), np.float32)
        return np.memmap(self._file, np.float32, "r+", shape=(self._rows, self._width))

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="vsezoo-")  # noqa: SIM115 (open as long as it is mapped)
            for block in self._blocks:
                self._file.write(block.data)
            self._file.flush()
        except OSError as error:
            reason, remedy = explain_system(error)
            raise StorageError(
                f"has no room for what an evaluation puts aside: {reason}.",
                file=tempfile.gettempdir(),
                remedy=f"{remedy} $TMPDIR names another folder.",
            ) from error
        self._blocks.clear()
