"""Feature files: `.npy` arrays with one row per image, read in batches, never as a whole."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from vsezoo.errors import DataError

CHECKED_WHOLE = 256 * 2**20  # bytes: only a sample of a larger file is checked, so that opening it is fast
SAMPLED_IMAGES = 100  # equidistant images of a larger file that are checked
BLOCK = 16 * 2**20  # bytes that a check reads at once

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FeatureFile:
    """A `.npy` file of features that can be read by row.

    Keeps neither a mapping nor an open file, so that it is cheap to pass to worker processes. Each read maps the file
    again, because pages count as memory of the process as long as the mapping exists: training on 31 GB of region
    features would seem to take 31 GB.

    Attributes:
        path: the file.
        shape: `(rows, F)` or `(rows, R, F)`.
        dtype: number type of the file: float16, float32 or float64 of either byte order.
        offset: start of the numbers in the file, in bytes.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int

    @classmethod
    def open(cls, path: Path) -> FeatureFile:
        """Read the header of a file and compare it with the size of the file. Nothing is unpickled.

        Raises:
            DataError: for a file that cannot be read, is not an array of features, or has the wrong size.
        """
        try:
            with path.open("rb") as stream:
                size = path.stat().st_size
                shape, is_fortran, dtype = _read_header(path, stream)
                offset = stream.tell()
        except OSError as error:
            remedy = "Check that the file exists and that you may read it."
            raise DataError(f"cannot be read: {error.strerror}.", file=path, remedy=remedy) from None
        if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
            problem = f"contains numbers of type {dtype}; expected float32 or float16."
            raise DataError(problem, file=path, remedy="Save the features again with array.astype('float32').")
        if len(shape) not in (2, 3) or 0 in shape:
            problem = f"has the shape {shape}; expected (images, F) or (images, regions, F), all above 0."
            raise DataError(problem, file=path, remedy="Save one row of features per image.")
        if is_fortran:
            remedy = "Save it again with numpy.save(path, numpy.ascontiguousarray(array))."
            raise DataError("is in Fortran order, in which the images are not rows.", file=path, remedy=remedy)
        expected = offset + math.prod(shape) * dtype.itemsize
        if size != expected:
            problem = f"has {size:,} bytes, but its header (shape {shape}, {dtype}) says {expected:,}."
            raise DataError(problem, file=path, remedy="It is truncated or damaged: copy or download it again.")
        return cls(path, shape, dtype, offset)

    def read(self, rows: Sequence[int] | Array) -> Array:
        """Return these rows, in this order, as a contiguous array; float64 is converted to float32.

        Raises:
            DataError: when the file has been removed or truncated, or a row contains NaN or an infinite value.
        """
        try:
            mapped = np.memmap(self.path, self.dtype, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            problem = f"can no longer be read ({error})."
            raise DataError(problem, file=self.path, remedy="It was removed or truncated: restore it.") from None
        target = np.float16 if self.dtype.itemsize == 2 else np.float32
        with np.errstate(over="ignore"):  # float64 values beyond float32 become infinite and are found below
            block = np.asarray(mapped)[rows].astype(target, copy=False)
        if not np.isfinite(block).all():
            is_bad = ~np.isfinite(block).reshape(len(block), -1).all(axis=1)
            problem = f"row {np.asarray(rows)[is_bad][0]} (counted from 0) contains NaN or an infinite value."
            raise DataError(problem, file=self.path, remedy="Extract the features of this image again.")
        return block

    def check(self, copies: int) -> None:
        """Check that values are finite and that the `copies` consecutive rows of an image are equal.

        Checks every row of a file of up to 256 MiB, and the rows of 100 images of a larger one.

        Raises:
            DataError: naming the first bad row.
        """
        for images in self._blocks(copies):
            rows = images[:, None] * copies + np.arange(copies)
            block = self.read(rows.ravel()).reshape(len(images), copies, -1)
            differs = (block != block[:, :1]).any(axis=2)
            if differs.any():
                first = rows[differs.any(axis=1)][0][0]
                raise DataError(
                    f"has one row for each caption, but rows {first} to {first + copies - 1} are not {copies} times "
                    "the same image.",
                    file=self.path,
                    remedy=f"Save one row per image, or repeat each row {copies} times in succession.",
                )

    def _blocks(self, copies: int) -> Iterator[Array]:
        """Yield the images to check, in blocks that fit into memory."""
        images = self.shape[0] // copies
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        whole = self.shape[0] * row_bytes <= CHECKED_WHOLE
        chosen = np.arange(images) if whole else np.unique(np.linspace(0, images - 1, SAMPLED_IMAGES, dtype=np.int64))
        step = max(1, BLOCK // (row_bytes * copies))
        for start in range(0, len(chosen), step):
            yield chosen[start : start + step]


def _read_header(path: Path, stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(stream)
        if version not in readers:
            raise ValueError(f"its format version is {version[0]}.{version[1]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "created on Python 2", as old feature files were
            return readers[version](stream)
    except Exception as error:  # NumPy evaluates the header as Python, which fails in many ways
        problem = f"is not a .npy feature file: {error}."
        raise DataError(problem, file=path, remedy="Save the features with numpy.save.") from None
