"""A file of the cache of embeddings: some rows, the keys of their items, and what was wrong with unreadable ones.

A checksum covers everything. A file that is damaged or incomplete counts as absent.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsezoo.search.array_writers import TensorWriter
from vsezoo.search.collection import KEY_BYTES, Array
from vsezoo.storage.atomic_file import explain_unwritten
from vsezoo.storage.forms import Mapped, Text
from vsezoo.storage.json_file import parse_strictly
from vsezoo.storage.plain_file import require_plain

PART = ".part"
"""Suffix of a file as it is written."""
CONTENT = ("rows", "keys", "reasons")
"""The tensors of a file, followed by their checksum."""
REASONS = Mapped(Text())

Rows = dict[bytes, Array]
"""Embeddings `(D,)` by item key."""


@dataclass(frozen=True)
class StoredRows:
    """The stored results for the items of a collection.

    Attributes:
        rows: `(n, D)` float32, the joint embeddings of the items that could be read; mapped, not read.
        keys: `(N, 16)` uint8, keys of all items.
        reasons: errors by the indices of unreadable items.
    """

    rows: Tensor
    keys: Array
    reasons: Mapping[int, str]

    @property
    def items(self) -> Array:
        """The item of each row, `(n,)`."""
        return np.delete(np.arange(len(self.keys)), list(self.reasons))

    def by_key(self) -> Rows:
        """Return the rows by item key."""
        return dict(zip(map(bytes, self.keys[self.items]), self.rows.numpy(), strict=True))


def read_stored(file: Path) -> StoredRows | None:
    """Return the contents of a file; None if it is absent or damaged.

    It is opened more than once. If another process removes it in between, it counts as absent; if another process
    replaces it, the new file is read.
    """
    while (found := _find(file)) is not None:
        held = _read_sound(file)
        if held is not None or _find(file) == found:
            return held
    return None


def _find(file: Path) -> int | None:
    """Return a number that changes when the file is replaced; None if it does not exist, or opening it would wait."""
    try:
        status = file.stat()
        require_plain(status, file)
    except OSError:
        return None
    return status.st_ino


def _read_sound(file: Path) -> StoredRows | None:
    try:
        with safe_open(file, "pt") as tensor_file:  # mappings keep no file open, and open files are limited
            tensors = {name: tensor_file.get_tensor(name) for name in (*CONTENT, "checksum")}
    except (OSError, RuntimeError, SafetensorError):  # torch raises RuntimeError if the file has disappeared
        return None
    checksum = 0
    for name in CONTENT:
        checksum = zlib.crc32(tensors[name].numpy().reshape(-1).view(np.uint8), checksum)
    if tensors["checksum"].numpy().tobytes() != checksum.to_bytes(4, "little"):
        return None
    rows, keys = tensors["rows"], tensors["keys"].numpy()
    try:
        value = parse_strictly(tensors["reasons"].numpy().tobytes())
        REASONS.check(value, "reasons")
        reasons = {int(item): reason for item, reason in value.items()}
    except ValueError:
        return None
    sound = rows.dtype == torch.float32 and rows.ndim == 2 and keys.dtype == np.uint8 and keys.shape[1:] == (KEY_BYTES,)
    if not sound or len(rows) + len(reasons) != len(keys) or not all(0 <= item < len(keys) for item in reasons):
        return None
    return StoredRows(rows, keys, reasons)


def write_stored(folder: Path, blocks: Iterable[Array], keys: Array, reasons: Mapping[int, str]) -> Path:
    """Write a part, and return its path."""
    with explain_unwritten(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=PART, delete=False) as stream:
            try:
                file = TensorWriter(folder, stream)
                for block in blocks:
                    file.append("rows", block)
                file.append("keys", keys)
                file.append("reasons", np.frombuffer(json.dumps(reasons).encode(), np.uint8))
                file.append("checksum", np.frombuffer(file.checksum.to_bytes(4, "little"), np.uint8))
                file.finish()
                stream.flush()
            except BaseException:
                Path(stream.name).unlink(missing_ok=True)  # it may fill the disk
                raise
            return Path(stream.name)
