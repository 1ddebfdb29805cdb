"""Inverted cells of faiss: rows by the nearest of many centres, of which a search looks at some.

The cells hold the rows in float16, and are mapped from a file.
"""

from __future__ import annotations

import ctypes
import math
import mmap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import DataError, require_package
from vsezoo.search.collection import Array
from vsezoo.search.indexes import Rows
from vsezoo.search.stored.manifest import REBUILD
from vsezoo.storage.atomic_file import explain_unwritten, replace_file

CELLS_PER_ROOT = 4
"""Cells for each square root of the number of rows."""
TRAINED = 40
"""Rows for each cell of which the centres are computed."""
ROUNDS = 8
"""Iterations of k-means."""
ADDED = 16384
"""Rows that are added at a time."""
KEPT = 128 * 2**20
"""Bytes of mapped cells that may be looked at before their memory is given back."""


class Cells:
    """Rows in cells; see `make_cells` and `open_cells`.

    Args:
        index: an `IndexIVF` of faiss.
        alive: which rows may be found, `(n,)` bool; None: all.
    """

    def __init__(self, index: Any, alive: Tensor | None = None) -> None:
        self._index, self._faiss = index, import_faiss()
        self._lists = self._faiss.downcast_InvertedLists(index.invlists)
        self._looked_at = 0
        self._selector: Any = None
        if alive is not None:
            self._selector = self._faiss.IDSelectorBitmap(np.packbits(alive.numpy(), bitorder="little"))

    @property
    def count(self) -> int:
        """Number of cells."""
        return int(self._index.nlist)

    def find(self, queries: Tensor, k: int, probes: int) -> tuple[Array, Array]:
        """Return approximate inner products and row numbers of the best rows of the cells nearest to each query.

        Args:
            queries: `(Q, D)`.
            k: number of rows.
            probes: number of cells.

        Returns:
            `(Q, k)` each, the best first; the number is -1 where the cells have no more rows.
        """
        self._faiss.omp_set_num_threads(torch.get_num_threads())
        parameters = self._faiss.SearchParametersIVF(nprobe=min(probes, self.count), sel=self._selector)
        found: tuple[Array, Array] = self._index.search(
            np.ascontiguousarray(queries.cpu().numpy(), np.float32), k, params=parameters
        )
        self._looked_at += len(queries) * parameters.nprobe * (self._index.ntotal * self._index.code_size // self.count)
        if self._looked_at > KEPT:
            self._release()
        return found

    def _release(self) -> None:
        """Give back the memory of mapped cells; the system keeps what was read of the file as long as it has room."""
        self._looked_at = 0
        if isinstance(self._lists, self._faiss.OnDiskInvertedLists) and hasattr(mmap, "MADV_DONTNEED"):
            self._lists.prefetch_lists(None, 0)  # ends the threads that read ahead
            start, size = ctypes.c_void_p(int(self._lists.ptr)), ctypes.c_size_t(self._lists.totsize)
            ctypes.CDLL(None).madvise(start, size, mmap.MADV_DONTNEED)

    def write(self, file: Path) -> None:
        """Write the cells to a file.

        Raises:
            StorageError: when it cannot be written.
        """
        with replace_file(file) as stream, explain_unwritten(file):
            self._faiss.write_index(self._index, self._faiss.PyCallbackIOWriter(stream.write))


def make_cells(rows: Rows) -> Cells:
    """Put all rows that may be found into cells. The centres are computed from a sample."""
    faiss = import_faiss()
    faiss.omp_set_num_threads(torch.get_num_threads())
    vectors, width = rows.vectors, rows.vectors.shape[1]
    numbers = torch.arange(len(vectors)) if rows.alive is None else rows.alive.nonzero().flatten()
    count = max(1, min(round(CELLS_PER_ROOT * math.sqrt(len(numbers))), len(numbers) // TRAINED))
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(width), width, count, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual = False
    index.cp.spherical, index.cp.niter, index.cp.max_points_per_centroid = True, ROUNDS, TRAINED
    drawn = torch.randperm(len(numbers), generator=torch.Generator().manual_seed(0))[: count * TRAINED]
    index.train(vectors[numbers[drawn].sort().values].float().numpy())
    for start in range(0, len(numbers), ADDED):
        block = numbers[start : start + ADDED]
        index.add_with_ids(vectors[block].float().numpy(), block.numpy())
    return Cells(index)


def open_cells(file: Path, alive: Tensor | None) -> Cells:
    """Open cells without reading them.

    Raises:
        DataError: for a file that is missing or damaged.
    """
    faiss = import_faiss(file)
    if not file.exists():
        raise DataError("is missing.", file=file, remedy=f"Open the index again. {REBUILD}")
    try:
        return Cells(faiss.read_index(str(file), faiss.IO_FLAG_MMAP), alive)
    except RuntimeError:
        raise DataError("is damaged.", file=file, remedy=REBUILD) from None


def import_faiss(file: Path | None = None) -> ModuleType:
    """Import faiss.

    Raises:
        MissingPackageError: names the command that installs it.
    """
    return require_package("faiss", "The index 'ivf'", file)
