"""A process's share of the features of a split on disk: appended block by block, exact after any interruption.

A part consists of two files. `STEM.npy` grows by one block at a time; `STEM.json` records how much of it is valid, and
is replaced after the block has reached the disk. Anything that a killed process wrote beyond that is cut off when the
part is opened again.
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
from vsezoo.storage.atomic_file import detach, write_whole
from vsezoo.storage.forms import SHA256, Fields, Integer
from vsezoo.storage.json_file import read_object, seal

FULL = (errno.ENOSPC, errno.EDQUOT)
RECORD = Fields({"pictures": SHA256, "rows": Integer()})
COPIED = 16 * 2**20  # bytes copied at a time

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Record:
    """The progress of a part.

    Attributes:
        pictures: digest of the names of the pictures with a row, in order.
        rows: number of valid rows in the file.
    """

    pictures: str
    rows: int = 0

    @classmethod
    def read(cls, stem: Path) -> Record | None:
        """Read the record of a part; None if there is none.

        Raises:
            StorageError: for one that is damaged.
        """
        file = name_files(stem)[1]
        if not file.exists():
            return None
        return cls(**read_object(file, RECORD, error=StorageError, remedy="Start again with another --output."))


class Part:
    """The rows of a share on disk.

    Args:
        stem: path of the files without their suffixes.
        shape: shape of a row, `(F,)` or `(R, F)`.
        dtype: float32 or float16.
        names: names of the pictures of the share, in order. Those without a row may differ from the ones before:
            unreadable pictures may have been left out since.
        batch_size: pictures in a batch; only the last batch of a share may be shorter.

    Attributes:
        record: its progress.

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
                "was started with pictures other than those in the data set now.",
                file=self._rows_file,
                remedy="Use the same data, or start again with another --output.",
            )
        header = make_header(0, shape, dtype)
        whole = len(header) + self.record.rows * math.prod(shape) * np.dtype(dtype).itemsize
        self._write_record()
        with explain(self._rows_file):
            self._rows_file.touch()
            detach(self._rows_file)
            if self.record.rows and self._rows_file.stat().st_size < whole:
                raise StorageError(
                    "is shorter than its record says.",
                    file=self._rows_file,
                    remedy="Start again with another --output.",
                )
            self._file = self._rows_file.open("r+b", buffering=0)
            self._file.write(header)
            self._file.truncate(whole)  # cut off what was written after the record
            self._file.seek(whole)

    def append(self, rows: Sequence[Array]) -> None:
        """Write a block, then update the record.

        Args:
            rows: arrays `(n, *shape)` to append.

        Raises:
            StorageError: when the disk is full; earlier blocks are kept.
        """
        with explain(self._rows_file):
            for array in rows:
                _write_all(self._file, np.ascontiguousarray(array).tobytes())
            os.fsync(self._file.fileno())
        done = self.record.rows + sum(map(len, rows))
        self.record = Record(digest_names(self._names[:done]), done)
        self._write_record()

    def _write_record(self) -> None:
        with explain(self._record_file):
            write_whole(self._record_file, json.dumps(seal(vars(self.record))).encode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def digest_names(names: Sequence[str]) -> str:
    """Return the digest of names of pictures in this order."""
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogateescape")).hexdigest()


def name_files(stem: Path) -> tuple[Path, Path]:
    """Return the two files of a part: rows and record."""
    return stem.with_name(f"{stem.name}.npy"), stem.with_name(f"{stem.name}.json")


def join_parts(stems: Sequence[Path], shape: Sequence[int], dtype: str) -> Path:
    """Append the rows of all parts to the first part, and return its file, which is then complete.

    The first part's record is not changed, so that an interrupted join can be repeated.

    Raises:
        StorageError: when the disk is full.
    """
    target = name_files(stems[0])[0]
    rows = [record.rows for stem in stems if (record := Record.read(stem)) is not None]
    header = make_header(sum(rows), shape, dtype)
    detach(target)
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
    """Return the header of a `.npy` file; NumPy pads it, so that its length is the same for any `rows`."""
    stream = io.BytesIO()
    value = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, *shape)}
    np.lib.format.write_array_header_1_0(stream, value)
    return stream.getvalue()


@contextmanager
def explain(file: Path) -> Iterator[None]:
    """Report why a file cannot be written, and what to do.

    Raises:
        StorageError: instead of the system's error.
    """
    try:
        yield
    except (OSError, StorageError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError):
            raise
        reason, remedy = explain_system(cause)
        if cause.errno in FULL:
            remedy += " Earlier work is kept: continue with --resume."
        raise StorageError(f"cannot be written: {reason}.", file=file, remedy=remedy) from error


def _write_all(file: io.FileIO, content: bytes) -> None:
    """Write all bytes to an unbuffered file, whose `write` may accept only a part."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]
