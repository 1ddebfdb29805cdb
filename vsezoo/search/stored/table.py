"""The rows of an index folder: vectors, keys and ids, in files that are only ever appended to.

    PREFIX.vectors    float32 or float16, `(count, width)`
    PREFIX.keys       uint8, `(count, 16)`
    PREFIX.ids        the ids, UTF-8, one after the other; PREFIX.ids.ends has the end of each, uint64
    PREFIX.texts      the same for sentences, if the items are sentences

Readers map as many rows as the manifest says. What lies beyond was appended by a process that did not finish.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, overload

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import DataError
from vsezoo.search.collection import ANY, KEY_BYTES, Array
from vsezoo.search.indexes import Rows
from vsezoo.search.stored.checksums import Checksum, sum_file
from vsezoo.search.stored.manifest import REBUILD, Manifest
from vsezoo.storage.atomic_file import detach, explain_unwritten
from vsezoo.storage.plain_file import open_plain, read_plain

ENDS, REMOVED = np.dtype("<u8"), np.dtype("<i8")
DTYPES: dict[str, np.dtype[Any]] = {"float32": np.dtype("<f4"), "float16": np.dtype("<f2")}


class Strings(Sequence[str]):
    """Texts of a file, decoded when they are asked for."""

    def __init__(self, file: Path, count: int) -> None:
        self._ends = _map(file.with_name(f"{file.name}.ends"), ENDS, (count,))
        self._bytes = _map(file, np.dtype(np.uint8), (int(self._ends[-1]) if count else 0,))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[str]: ...
    def __getitem__(self, place: int | slice) -> str | Sequence[str]:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        index = range(len(self))[place]
        start = int(self._ends[index - 1]) if index else 0
        return bytes(self._bytes[start : int(self._ends[index])]).decode(errors=ANY)

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))


class OpenFile:
    """A file that stays open, also after another process has removed it, until the object is gone."""

    def __init__(self, path: Path) -> None:
        with open_plain(path) as stream:
            self._number = os.dup(stream.fileno())
        weakref.finalize(self, os.close, self._number)

    def fileno(self) -> int:
        """Return its number."""
        return self._number


class Table:
    """The rows that a manifest names, mapped.

    Attributes:
        vectors: `(count, width)`.
        keys: `(count, 16)` uint8.
        ids: their ids.
        texts: their sentences; empty if they are images.

    Raises:
        DataError: for a file that is missing or shorter than it was.
        FileNotFoundError: for a table that another process has replaced since the manifest was read.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        stem, count = folder / manifest.table, manifest.count
        self._file = OpenFile(_name(stem, "vectors"))
        self.vectors: Tensor = torch.from_numpy(
            _map(_name(stem, "vectors"), DTYPES[manifest.dtype], (count, manifest.width))
        )
        self.keys = _map(_name(stem, "keys"), np.dtype(np.uint8), (count, KEY_BYTES))
        self.ids: Sequence[str] = Strings(_name(stem, "ids"), count)
        self.texts: Sequence[str] = Strings(_name(stem, "texts"), count) if manifest.kind == "text" else []

    def as_rows(self, removed: Array) -> Rows:
        """Return the vectors, without those that were removed."""
        alive = None
        if len(removed):
            alive = torch.ones(len(self.vectors), dtype=torch.bool)
            alive[torch.from_numpy(removed)] = False
        return Rows(self.vectors, alive, self._file)


def read_removed(folder: Path, manifest: Manifest) -> Array:
    """Return the numbers of the rows that were removed, in order.

    Raises:
        DataError: for a file that is damaged.
        FileNotFoundError: for one that is missing.
    """
    if not manifest.removed:
        return np.empty(0, np.int64)
    file = folder / manifest.removed
    content = read_plain(file, manifest.count * REMOVED.itemsize)
    rows = np.frombuffer(content[: len(content) // REMOVED.itemsize * REMOVED.itemsize], REMOVED).copy()
    if len(rows) * REMOVED.itemsize != len(content) or np.any(np.diff(rows, prepend=-1, append=manifest.count) < 1):
        raise DataError("is damaged: it does not name rows of the index.", file=file, remedy=REBUILD)
    return rows


class TableWriter:
    """Appends rows to the files of a table, after those that the manifest names.

    Args:
        folder: the index folder.
        manifest: the table, its number of rows, and what the rows are.

    Raises:
        StorageError: when a file cannot be written.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._stem, self._dtype, self._width = folder / manifest.table, DTYPES[manifest.dtype], manifest.width
        sizes = {"vectors": manifest.width * self._dtype.itemsize, "keys": KEY_BYTES}
        self._ends: dict[str, int] = {}
        self._files: dict[str, BinaryIO] = {}
        with ExitStack() as opened, explain_unwritten(folder):
            for name, size in sizes.items():
                self._files[name] = opened.enter_context(_reopen(_name(self._stem, name), manifest.count * size))
            for name in ("ids", "texts") if manifest.kind == "text" else ("ids",):
                file = _name(self._stem, name)
                ends = _reopen(file.with_name(f"{file.name}.ends"), manifest.count * ENDS.itemsize)
                self._files[f"{name}.ends"] = opened.enter_context(ends)
                self._ends[name] = _read_end(ends, manifest.count)
                self._files[name] = opened.enter_context(_reopen(file, self._ends[name]))
            self._sums = {name: self._start_sum(name, stream.tell(), manifest) for name, stream in self._files.items()}
            self._opened = opened.pop_all()

    def append(self, vectors: Array, keys: Sequence[bytes], ids: Sequence[str], texts: Sequence[str] = ()) -> None:
        """Append rows, and write them to the disk.

        Raises:
            DataError: for vectors of another width, or too large for float16.
            StorageError: when they cannot be written.
        """
        if vectors.shape[1] != self._width:
            problem = f"contains vectors with {self._width} numbers, not with {vectors.shape[1]}."
            raise DataError(problem, file=self._stem.parent, remedy="Use vectors of one model.")
        with np.errstate(over="ignore"):
            vectors = np.ascontiguousarray(vectors, self._dtype)
        if not np.isfinite(vectors).all():
            raise DataError(
                f"some vectors are not finite in {self._dtype.name}.",
                file=self._stem.parent,
                remedy="Use --dtype float32, or evaluate the model with `vsezoo eval`.",
            )
        with explain_unwritten(self._stem):
            self._write("vectors", vectors.data.cast("B"))
            self._write("keys", b"".join(keys))
            self._append_strings("ids", ids)
            if texts:
                self._append_strings("texts", texts)
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())

    def list_checksums(self) -> dict[str, dict[str, int]]:
        """Return the checksums of the files by name, as `Manifest.checksums`."""
        return {_name(self._stem, name).name: checksum.to_json() for name, checksum in self._sums.items()}

    def close(self) -> None:
        """Close the files."""
        with explain_unwritten(self._stem):
            self._opened.close()

    def _append_strings(self, name: str, strings: Sequence[str]) -> None:
        encoded = [string.encode(errors=ANY) for string in strings]
        ends = self._ends[name] + np.cumsum([len(one) for one in encoded], dtype=np.uint64)
        self._write(name, b"".join(encoded))
        self._write(f"{name}.ends", ends.astype(ENDS).data.cast("B"))
        self._ends[name] = int(ends[-1])

    def _write(self, name: str, content: bytes | memoryview) -> None:
        self._files[name].write(content)
        self._sums[name].add(content)

    def _start_sum(self, name: str, size: int, manifest: Manifest) -> Checksum:
        """Return the checksum of the rows that are there; earlier versions did not record it."""
        file = _name(self._stem, name)
        return Checksum(manifest.checksums.get(file.name) or (sum_file(file, size) if size else None))


def _name(stem: Path, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}.{suffix}")


def _map(file: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> Array:
    """Map an array; it is writable in memory only, since torch warns about tensors that are read-only."""
    if not np.prod(shape):
        return np.empty(shape, dtype)
    if file.stat().st_size < np.prod(shape) * dtype.itemsize:
        raise DataError("is shorter than it was: it is damaged.", file=file, remedy=REBUILD)
    return np.memmap(file, dtype, "c", shape=shape)


def _reopen(file: Path, size: int) -> BinaryIO:
    """Open a file for appending after so many bytes; what an interrupted process has appended is cut off."""
    detach(file)
    stream = file.open("r+b" if size else "w+b")
    stream.truncate(size)
    stream.seek(size)
    return stream


def _read_end(stream: BinaryIO, count: int) -> int:
    """Return the last end of a file that was opened for appending."""
    if not count:
        return 0
    stream.seek((count - 1) * ENDS.itemsize)
    return int(np.frombuffer(stream.read(ENDS.itemsize), ENDS)[0])
