"""Arrays that are written row by row and may be larger than main memory: large ones are temporary files."""

from __future__ import annotations

import tempfile
from typing import Any, BinaryIO

import numpy as np

from vsezoo.errors import StorageError, explain_system

IN_MEMORY = 2**28
"""Maximum size in main memory, in bytes."""

Rows = np.ndarray[Any, np.dtype[np.float32]]


class ScratchArray:
    """An array of float32 that is appended to, and read when complete. Must be closed; `finish` does so.

    The temporary file has no name, or loses it when it is closed: it disappears when the array is no longer used, even
    after an error.
    """

    def __init__(self) -> None:
        self._blocks: list[Rows] = []
        self._file: BinaryIO | None = None
        self._shape = (0, 0)

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self._shape[0]

    def append(self, block: Rows) -> None:
        """Append rows `(n, width)`.

        Raises:
            StorageError: when there is no space for the temporary file.
        """
        self._blocks.append(np.ascontiguousarray(block))
        self._shape = self._shape[0] + len(block), block.shape[1]
        if self._file is not None or 4 * self._shape[0] * self._shape[1] > IN_MEMORY:
            self._write()

    def finish(self) -> Rows:
        """Return all rows `(N, width)`, at least one, in memory or mapped."""
        if self._file is None:
            return np.concatenate(self._blocks)
        mapped = np.memmap(self._file, np.float32, "r+", shape=self._shape)  # keeps the file open itself
        self.close()
        return mapped

    def close(self) -> None:
        """Release the temporary file."""
        if self._file is not None:
            self._file.close()

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="vsezoo-")  # noqa: SIM115 (open as long as it is written)
            for block in self._blocks:
                self._file.write(block.data)
            self._file.flush()
        except OSError as error:
            reason, remedy = explain_system(error)
            raise StorageError(
                f"has no space for a temporary file: {reason}.",
                file=tempfile.gettempdir(),
                remedy=f"{remedy} Set $TMPDIR to use another folder.",
            ) from error
        self._blocks.clear()
