"""Rows of an array in a file, read without mapping it.

A mapping that is made anew for each batch finds each of its pages anew: for random rows of region features that takes
several times as long as reading them.
"""

from __future__ import annotations

import math
from io import BufferedReader
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class FileRows:
    """The rows of an array.

    Args:
        file: the open file.
        dtype: the type of its numbers.
        offset: where they start, in bytes.
        shape: of the array.
    """

    def __init__(self, file: BufferedReader, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]) -> None:
        self._file, self._dtype, self._offset, self.shape = file, dtype, offset, shape
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize

    def __getitem__(self, rows: int | slice) -> Array:
        """Return one row, or consecutive ones."""
        start, stop, _ = (rows if isinstance(rows, slice) else slice(rows, rows + 1)).indices(self.shape[0])
        found = self.take(np.arange(start, stop))
        return found if isinstance(rows, slice) else found[0]

    def take(self, rows: Array) -> Array:
        """Return these rows, in this order; consecutive ones are read at once.

        Raises:
            OSError: for a file that cannot be read.
            ValueError: for a file that ends before.
            IndexError: for a row that the array does not have, where the file may have something else.
        """
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise IndexError(f"row {rows.min()} to {rows.max()} of {self.shape[0]}")
        found = np.empty((len(rows), *self.shape[1:]), self._dtype)
        content = found.reshape(-1).view(np.uint8).data
        cuts = np.flatnonzero(np.diff(rows) != 1) + 1
        for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
            if start == stop:
                continue
            self._file.seek(self._offset + int(rows[start]) * self._row_bytes)
            block = content[start * self._row_bytes : stop * self._row_bytes]
            missing = len(block) - self._file.readinto(block)
            if missing:
                raise ValueError(f"it ends {missing:,} bytes before the end of row {rows[stop - 1]}")
        return found
