"""Feature files: arrays with one row per image, read in batches, never as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.data.precomputed.feature_header import describe_objects, read_header
from vsezoo.data.precomputed.region_counts import RegionCounts, read_counts
from vsezoo.data.precomputed.rows import FileRows
from vsezoo.errors import DataError, require_package

CHECKED_WHOLE = 256 * 2**20  # bytes: only a sample of a larger file is checked, so that opening it is fast
SAMPLED_IMAGES = 100  # equidistant images of a larger file that are checked
BLOCK = 16 * 2**20  # bytes that a check reads at once

AT_ONCE = 2**20  # numbers of float16 that are looked at together

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class FeatureFile:
    """A file of features that can be read by row; see `vsezoo.data.precomputed.feature_header` for its forms.

    Keeps neither a mapping nor an open file, so that it is cheap to pass to worker processes. Nothing is mapped: pages
    count as memory of the process, and training on 31 GB of region features would seem to take 31 GB.

    Attributes:
        path: the file, as messages call it.
        shape: `(rows, F)` or `(rows, R, F)`.
        dtype: number type of the file: float16, float32 or float64 of either byte order.
        offset: start of the numbers, in bytes.
        content: the file that contains them: a compressed archive is unpacked to another.
        dataset: name of the array in a chunked HDF5 file.
        sets: where the regions of each image are, if images have different numbers of them; `shape` is then
            `(images, R, F)` with the largest R, and `stored` the shape of the array in the file.
        stored: shape of the array in the file, if it is not `shape`.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    content: Path
    dataset: str = ""
    sets: RegionCounts | None = None
    stored: tuple[int, ...] = ()

    @classmethod
    def open(cls, path: Path) -> FeatureFile:
        """Read the header of a file and compare it with the size of the file. Nothing is unpickled.

        Raises:
            DataError: for a file that cannot be read, is not an array of features, or has the wrong size.
            MissingPackageError: for HDF5 without h5py.
        """
        header = read_header(path)
        dtype, shape = header.dtype, header.shape
        if dtype.kind == "O":
            raise describe_objects(path)
        if dtype.kind != "f" or dtype.itemsize not in (2, 4, 8):
            problem = f"contains numbers of type {dtype}; expected float32 or float16."
            raise DataError(problem, file=path, remedy="Save the features again with array.astype('float32').")
        while len(shape) > 2 and shape[-2:] == (1, 1):  # (N, C, 1, 1), as pooling layers give it
            shape = shape[:2] if len(shape) == 4 else shape[:-1]
        if len(shape) == 4 and 0 not in shape:
            cells = "array.reshape(*array.shape[:2], -1).transpose(0, 2, 1)"
            problem = f"has the shape {shape}: maps of features, channels first, or regions of several sets."
            raise DataError(problem, file=path, remedy=f"Save the cells of each map as its regions: {cells}.")
        if len(shape) not in (2, 3) or 0 in shape:
            problem = f"has the shape {shape}; expected (images, F) or (images, regions, F), all above 0."
            raise DataError(problem, file=path, remedy="Save one row of features per image.")
        if header.is_fortran:
            remedy = "Save it again with numpy.save(path, numpy.ascontiguousarray(array))."
            raise DataError("is in Fortran order, in which the images are not rows.", file=path, remedy=remedy)
        expected = math.prod(shape) * dtype.itemsize
        if header.size != expected:
            size, whole = header.offset + header.size, header.offset + expected
            problem = f"has {size:,} bytes, but its header (shape {header.shape}, {dtype}) says {whole:,}."
            raise DataError(problem, file=path, remedy="It is truncated or damaged: copy or download it again.")
        sets = read_counts(path, header.path, shape)
        if sets is None:
            return cls(path, shape, dtype, header.offset, header.path, header.dataset)
        largest = (len(sets.counts), int(sets.counts.max()), shape[-1])
        return cls(path, largest, dtype, header.offset, header.path, header.dataset, sets, shape)

    def read(self, rows: Sequence[int] | Array) -> Array | list[Array]:
        """Return these rows, in this order, as a contiguous array; float64 is converted to float32.

        Of images with different numbers of regions, a list of arrays `(R_i, F)`.

        Raises:
            DataError: when the file has been removed or truncated, or a row contains NaN or an infinite value.
        """
        block = self.read_raw(rows)
        if isinstance(block, list):
            bad = [row for row, image in zip(rows, block, strict=True) if not np.isfinite(image).all()]
        elif _is_finite(block):
            bad = []
        else:
            bad = np.asarray(rows)[~np.isfinite(block).reshape(len(block), -1).all(axis=1)].tolist()
        if bad:
            problem = f"row {bad[0]} (counted from 0) contains NaN or an infinite value."
            raise DataError(problem, file=self.path, remedy="Extract the features of this image again.")
        return block

    def read_raw(self, rows: Sequence[int] | Array) -> Array | list[Array]:
        """Return these rows as `read` does, with values that are not finite; a float64 beyond float32 becomes infinite.

        Raises:
            DataError: when the file has been removed or truncated.
        """
        kept = np.float16 if self.dtype.itemsize == 2 else np.float32
        try:
            with np.errstate(over="ignore"):
                if self.sets is not None:
                    return [image.astype(kept) for image in self._read_sets(rows)]
                block = self._read_chunks(np.asarray(rows)) if self.dataset else self._read_rows(np.asarray(rows))
                return block.astype(kept, copy=False)
        except (OSError, ValueError) as error:
            problem = f"can no longer be read ({error})."
            raise DataError(problem, file=self.path, remedy="It was removed or truncated: restore it.") from None

    def _read_rows(self, rows: Array) -> Array:
        with self.content.open("rb") as file:
            return self._rows_of(file).take(rows)

    def _rows_of(self, file: BufferedReader) -> FileRows:
        return FileRows(file, self.dtype, self.offset, self.stored or self.shape)

    def _read_sets(self, rows: Sequence[int] | Array) -> list[Array]:
        assert self.sets is not None
        if not self.dataset:
            with self.content.open("rb") as file:
                content = self._rows_of(file)
                return [self.sets.take(content, int(row)) for row in rows]
        h5py = require_package("h5py", "a file of features in HDF5", self.path)
        with h5py.File(self.content, "r") as file:
            return [self.sets.take(file[self.dataset], int(row)) for row in rows]

    def _read_chunks(self, rows: Array) -> Array:
        """Read rows of an HDF5 file, which takes each once and in rising order."""
        h5py = require_package("h5py", "a file of features in HDF5", self.path)
        wanted, back = np.unique(rows, return_inverse=True)
        with h5py.File(self.content, "r") as file:
            found: Array = file[self.dataset][wanted]
        return found[back].reshape(len(rows), *self.shape[1:])

    def check(self, copies: int) -> None:
        """Check that values are finite and that the `copies` consecutive rows of an image are equal.

        Checks every row of a file of up to 256 MiB, and the rows of 100 images of a larger one.

        Raises:
            DataError: naming the first bad row.
        """
        for images in self._blocks(copies):
            rows = images[:, None] * copies + np.arange(copies)
            block = self.read(rows.ravel())
            first_of_each = np.arange(len(block)) // copies * copies
            differs = [not np.array_equal(one, block[first]) for one, first in zip(block, first_of_each, strict=True)]
            if any(differs):
                first = rows.ravel()[first_of_each[differs]][0]
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


def _is_finite(block: Array) -> bool:
    """Return whether all values are finite. Of float16 the bits: NumPy takes ten times as long for the numbers."""
    if block.dtype != np.float16:
        return bool(np.isfinite(block).all())
    bits = block.reshape(-1).view(np.uint16)
    parts = (bits[start : start + AT_ONCE] & 0x7FFF for start in range(0, len(bits), AT_ONCE))
    return all(part.max() < 0x7C00 for part in parts)
