"""A process's share of the features of a split, on the disk: appended block by block, and exact after any end.

A part is two files. `STEM.npy` grows by one block at a time; `STEM.json` says how much of it counts, and is replaced
after the block has reached the disk. Whatever a killed process wrote beyond that is cut off when the part is opened
again.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.errors import StorageError, explain_system
from vsezoo.storage.folders import flush

FULL = (errno.ENOSPC, errno.EDQUOT)
COPIED = 16 * 2**20  # bytes copied at a time

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Record:
    """How far a part is.

    Attributes:
        pictures: the digest of the names of those pictures, in their order.
        rows: how many pictures of the share have their row in the file.
    """

    pictures: str
    rows: int = 0

    @classmethod
    def read(cls, stem: Path) -> Record | None:
        """Read the record of a part; None where there is none."""
        try:
            return cls(**json.loads(name_files(stem)[1].read_bytes()))
        except FileNotFoundError:
            return None


class Part:
    """The rows of a share.

    Args:
        stem: the files without their endings.
        shape: of a row, `(F,)` or `(R, F)`.
        dtype: float32 or float16.
        names: of the pictures of the share, in their order. Those that have no row yet may be others than they were:
            what could not be read may have been left out since.
        batch_size: pictures at a time; a shorter batch is the last of a share.

    Attributes:
        record: how far it is.

    Raises:
        StorageError: when the files cannot be written, are damaged, or belong to other pictures.
    """

    def __init__(self, stem: Path, shape: Sequence[int], dtype: str, names: Sequence[str], batch_size: int) -> None:
        self._rows_file, self._record_file = name_files(stem)
        self._names = names
        self.record = Record.read(stem) or Record(digest_names([]))
        rows = self.record.rows
        if self.record.pictures != digest_names(names[:rows]) or (rows % batch_size and rows != len(names)):
            raise StorageError(
                "was begun with other pictures than the data set has now.",
                file=self._rows_file,
                remedy="Give the same data, or begin anew in another --output.",
            )
        header = make_header(0, shape, dtype)
        whole = len(header) + self.record.rows * math.prod(shape) * np.dtype(dtype).itemsize
        self._write_record()
        with explain(self._rows_file):
            self._rows_file.touch()
            if self.record.rows and self._rows_file.stat().st_size < whole:
                raise StorageError(
                    "is shorter than its record says.",
                    file=self._rows_file,
                    remedy="Begin anew in another --output.",
                )
            self._file = self._rows_file.open("r+b", buffering=0)
            self._file.write(header)
            self._file.truncate(whole)  # what was written after the record
            self._file.seek(whole)

    def append(self, rows: Sequence[Array]) -> None:
        """Write a block, and then that it is written.

        Args:
            rows: arrays `(n, *shape)`, the rows that follow those before.

        Raises:
            StorageError: when the disk is full; what was written before counts.
        """
        with explain(self._rows_file):
            for array in rows:
                _write_all(self._file, np.ascontiguousarray(array).tobytes())
            os.fsync(self._file.fileno())
        done = self.record.rows + sum(map(len, rows))
        self.record = Record(digest_names(self._names[:done]), done)
        self._write_record()

    def _write_record(self) -> None:
        replace_text(self._record_file, json.dumps(vars(self.record)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def digest_names(names: Sequence[str]) -> str:
    """Return the digest of the names of pictures, in their order."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def name_files(stem: Path) -> tuple[Path, Path]:
    """Return the two files of a part: its rows and its record."""
    return stem.with_name(f"{stem.name}.npy"), stem.with_name(f"{stem.name}.json")


def join_parts(stems: Sequence[Path], shape: Sequence[int], dtype: str) -> Path:
    """Append the rows of all parts to those of the first, and return the file, which is then whole.

    The first part's record is left as it is, so that a join that was cut short can be done again.

    Raises:
        StorageError: when the disk is full.
    """
    target = name_files(stems[0])[0]
    rows = [record.rows for stem in stems if (record := Record.read(stem)) is not None]
    header = make_header(sum(rows), shape, dtype)
    with explain(target), target.open("r+b") as stream:
        stream.write(header)
        stream.truncate(len(header) + rows[0] * math.prod(shape) * np.dtype(dtype).itemsize)
        stream.seek(0, os.SEEK_END)
        for stem in stems[1:]:
            with name_files(stem)[0].open("rb") as source:
                source.seek(len(header))
                shutil.copyfileobj(source, stream, COPIED)
        stream.flush()
        os.fsync(stream.fileno())
    return target


def make_header(rows: int, shape: Sequence[int], dtype: str) -> bytes:
    """Return the header of a `.npy` file; NumPy leaves room in it, so that its length is the same for any `rows`."""
    stream = io.BytesIO()
    value = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, *shape)}
    np.lib.format.write_array_header_1_0(stream, value)
    return stream.getvalue()


def replace_text(file: Path, text: str) -> None:
    """Write a file of JSON whole or not at all; what UTF-8 cannot hold, as names of files may have, is escaped.

    Raises:
        StorageError: when the disk is full.
    """
    temporary = file.with_name(f".{file.name}.tmp")
    with explain(file):
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        flush(temporary)
        temporary.replace(file)


@contextmanager
def explain(file: Path) -> Iterator[None]:
    """Say of a file that cannot be written why, and what to do.

    Raises:
        StorageError: in place of an error of the system's.
    """
    try:
        yield
    except OSError as error:
        reason, remedy = explain_system(error)
        if error.errno in FULL:
            remedy += " What was made before counts: go on with --resume."
        raise StorageError(f"cannot be written: {reason}.", file=file, remedy=remedy) from error


def _write_all(file: io.FileIO, content: bytes) -> None:
    """Write to a file without a buffer, which may take a part of what it is given."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
