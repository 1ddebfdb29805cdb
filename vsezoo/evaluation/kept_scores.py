"""Scores of a split in a file that an interrupted evaluation continues: for similarities that take minutes or hours.

`FILE` is a NumPy array `(N, M)` of float32, images by captions, to which bands of rows are appended; `FILE.json`
describes it. Both are kept when all scores are complete, and reused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import StorageError
from vsezoo.evaluation.encoded import EncodedSide, EncodedSplit
from vsezoo.evaluation.scratch import Rows
from vsezoo.storage.atomic_file import detach, explain_unwritten, write_whole
from vsezoo.storage.checkpoint_layout import to_text
from vsezoo.storage.json_file import read_object

PROBE = 8
"""Number of images and captions whose scores identify the similarity."""
REPLACE = "Use another file, or remove it and its .json."


class KeptScores:
    """An array of float32 in a file, to which rows are appended. Must be closed.

    Args:
        path: the file; the description is `path` with `.json` appended.
        members: the embeddings that are scored, with their similarities.

    Raises:
        StorageError: when the file contains something else, or cannot be written.
    """

    def __init__(self, path: Path, members: Sequence[EncodedSplit]) -> None:
        self.path = path
        self._shape = len(members[0].images), len(members[0].texts)
        record = {"images": self._shape[0], "captions": self._shape[1], "sha256": _hash_members(members)}
        self._header = _make_header(self._shape)
        about = path.with_name(f"{path.name}.json")
        with explain_unwritten(self.path):
            if path.exists() or about.exists():
                self._require(about, record)
            else:
                write_whole(about, to_text(record))
            detach(path)
            self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
            band = 4 * self._shape[1]
            size = self._file.seek(0, os.SEEK_END)
            self.rows = max(0, size - len(self._header)) // band
            """The number of rows."""
            if self.rows == 0:
                self._file.seek(0)
                self._file.write(self._header)
            self._file.truncate(len(self._header) + self.rows * band)
            self._file.seek(0, os.SEEK_END)

    def append(self, block: Rows) -> None:
        """Append rows `(n, M)`.

        Raises:
            StorageError: when there is no space for them.
        """
        with explain_unwritten(self.path):
            self._file.write(np.ascontiguousarray(block).data)
            self._file.flush()
            os.fsync(self._file.fileno())
        self.rows += len(block)

    def finish(self) -> Rows:
        """Return all rows, mapped; changing them does not change the file."""
        return np.memmap(self._file, np.float32, "c", offset=len(self._header), shape=self._shape)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _require(self, about: Path, record: dict[str, object]) -> None:
        """Raise StorageError unless the existing file matches this record."""
        try:
            found: dict[str, Any] | None = read_object(about, error=StorageError)
        except StorageError:
            found = None
        if found != record:
            known = isinstance(found, dict) and found.keys() == record.keys()
            problem = (
                "contains the scores of other embeddings" if known else "is not a file of scores that can be continued"
            )
            raise StorageError(f"{problem}.", file=self.path, remedy=REPLACE)
        if self.path.exists():
            with self.path.open("rb") as file:
                if file.read(len(self._header)) != self._header[: self.path.stat().st_size]:
                    raise StorageError("is not the array that its .json describes.", file=self.path, remedy=REPLACE)


def _make_header(shape: tuple[int, int]) -> bytes:
    """Return the header of an array file, as written by `numpy.save`."""
    from io import BytesIO

    stream = BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def _hash_members(members: Sequence[EncodedSplit]) -> str:
    """Return the digest of the embeddings, and of a few scores that stand for the options of the similarity."""
    digest = hashlib.sha256()
    for member in members:
        probe = member.select(slice(0, PROBE), torch.arange(len(member.texts)) < PROBE)
        _update(digest, member.similarity.compare(probe.images.load(), probe.texts.load()))
        _update_side(digest, member.images)
        _update_side(digest, member.texts)
    return digest.hexdigest()


def _update_side(digest: hashlib._Hash, side: EncodedSide) -> None:
    for tensor in (side.vectors, side.items, side.starts, side.lengths):
        if tensor is not None:
            _update(digest, tensor)


def _update(digest: hashlib._Hash, tensor: Tensor) -> None:
    array = np.ascontiguousarray(tensor.detach().cpu().numpy())
    digest.update(repr(array.shape).encode())
    digest.update(array.data.cast("B") if array.size else b"")
