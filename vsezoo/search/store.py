"""The embeddings of a collection, kept in the cache: what was embedded once is embedded again only if it has changed.

    embeddings/ENTRY/all.safetensors    of one checkpoint and one collection, in the order of the collection
    embeddings/ENTRY/*.part             blocks that were embedded since, each kept at once; joined at the end

A file holds embeddings, the keys of the items, which of them could not be read and why, and a checksum. What is
damaged, or was not written to its end, counts for nothing. Processes that embed the same collection at once need not
know of each other: each has mapped what it wrote, and no other can take that away by removing the file.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsezoo.data.cache import find_cache
from vsezoo.errors import DataError, StorageError
from vsezoo.model import JointEmbedding
from vsezoo.search.collection import Array, Collection
from vsezoo.search.embedding import Advance, embed_items
from vsezoo.search.tensor_file import HEADER, TensorWriter, explain_unwritten

TOPIC = "embeddings"
"""The folder in the cache."""
WHOLE, PART = "all.safetensors", ".part"
CONTENT = ("rows", "keys", "reasons")
"""The tensors of a file, whose checksum follows them."""
BLOCK = 1024
"""Items whose rows are copied at a time."""

Rows = dict[bytes, Array]
"""Embeddings `(D,)` by the keys of their items."""


@dataclass(frozen=True)
class Embeddings:
    """What is known of the items of a collection.

    Attributes:
        rows: `(n, D)` float32, the joint embeddings of the items that could be read; mapped, not read.
        keys: `(N, 16)` uint8, of all items.
        reasons: why the others could not be read, by their indices.
    """

    rows: Tensor
    keys: Array
    reasons: Mapping[int, str]

    @property
    def items(self) -> Array:
        """Which item each row is of, `(n,)`."""
        return np.delete(np.arange(len(self.keys)), list(self.reasons))


def open_embeddings(
    collection: Collection,
    checkpoint: str,
    load_model: Callable[[], JointEmbedding],
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> Embeddings:
    """Return the embeddings of a collection, from the cache as far as they are there.

    Args:
        collection: of images or sentences.
        checkpoint: what changes when the checkpoint does.
        load_model: called if there is anything to embed.
        advance: if there is anything to embed, is told how many items are embedded by now, of how many.
        warn: is told that the cache cannot be written; the embeddings are then computed for this call alone. None: it
            is printed to standard error.

    Raises:
        DataError: see `embed_items`; or when no item can be read.
    """
    keys = collection.keys()
    name = [checkpoint, collection.kind, collection.place or hashlib.sha256(keys.tobytes()).hexdigest()]
    folder = find_cache() / TOPIC / hashlib.sha256(json.dumps(name).encode()).hexdigest()
    held = _read(folder / WHOLE)
    if held is not None and np.array_equal(held.keys, keys) and (collection.skips or not held.reasons):
        return held
    known = _read_rows(folder)
    try:
        return _complete(folder, collection, keys, known, load_model, advance)
    except StorageError as error:
        (warn or _print)(f"The embeddings are not kept for the next time: {error.file} {error.problem}")
    with tempfile.TemporaryDirectory() as temporary:  # what is mapped outlives the name
        return _complete(Path(temporary), collection, keys, known, load_model, advance)


def _complete(
    folder: Path,
    collection: Collection,
    keys: Array,
    known: Rows,
    load_model: Callable[[], JointEmbedding],
    advance: Advance | None,
) -> Embeddings:
    """Embed what is not known, write each block, and make it known; then join all."""
    new = [item for item, key in enumerate(keys) if bytes(key) not in known]
    done, reasons = len(keys) - len(new), dict[int, str]()
    for block in embed_items(load_model(), collection, new) if new else ():
        if block.items:
            part = keys[block.items]
            known.update(zip(map(bytes, part), block.rows, strict=True))  # also if they cannot be written
            known.update(zip(map(bytes, part), _write(folder, [block.rows], part, {})[1], strict=True))
        reasons.update(block.bad)
        done += len(block.items) + len(block.bad)
        if advance:
            advance(done, len(keys))
    if len(reasons) == len(keys):
        raise DataError(
            f"none of its {len(keys):,} pictures can be read; the first {next(iter(reasons.values()))}",
            file=collection.name,
            remedy="Copy the pictures again.",
        )
    return _join(folder, keys, known, reasons)


def _join(folder: Path, keys: Array, known: Rows, reasons: Mapping[int, str]) -> Embeddings:
    """Write one file of all, which takes the place of the parts and of what was joined before."""
    good = [known[bytes(key)] for item, key in enumerate(keys) if item not in reasons]
    blocks = (np.stack(good[start : start + BLOCK]) for start in range(0, len(good), BLOCK))
    file, rows = _write(folder, blocks, keys, reasons)
    with explain_unwritten(folder):
        with suppress(FileNotFoundError):  # another process has joined its own, and removed the parts
            file.replace(folder / WHOLE)
        for part in folder.glob(f"*{PART}"):
            part.unlink(missing_ok=True)
    return Embeddings(torch.from_numpy(rows), keys, reasons)


def _read_rows(folder: Path) -> Rows:
    """Return what the files of an entry hold; the parts first, since what is removed meanwhile has been joined."""
    known: Rows = {}
    for file in (*folder.glob(f"*{PART}"), folder / WHOLE):
        if (held := _read(file)) is not None:
            known.update(zip(map(bytes, held.keys[held.items]), held.rows.numpy(), strict=True))
    return known


def _read(file: Path) -> Embeddings | None:
    """Return what a file holds; None if it is not there, or damaged."""
    try:
        with safe_open(file, "pt") as tensor_file:
            tensors = {name: tensor_file.get_tensor(name) for name in (*CONTENT, "checksum")}
    except (OSError, SafetensorError):
        return None
    checksum = 0
    for name in CONTENT:
        checksum = zlib.crc32(tensors[name].numpy().data.cast("B"), checksum)
    if tensors["checksum"].numpy().tobytes() != checksum.to_bytes(4, "little"):
        return None
    reasons = json.loads(tensors["reasons"].numpy().tobytes())
    return Embeddings(tensors["rows"], tensors["keys"].numpy(), {int(item): reason for item, reason in reasons.items()})


def _write(folder: Path, blocks: Iterable[Array], keys: Array, reasons: Mapping[int, str]) -> tuple[Path, Array]:
    """Write a part; return its name and its rows, mapped."""
    with explain_unwritten(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=PART, delete=False) as stream:
            file = TensorWriter(folder, stream)
            for block in blocks:
                file.append("rows", block)
            file.append("keys", keys)
            file.append("reasons", np.frombuffer(json.dumps(reasons).encode(), np.uint8))
            file.append("checksum", np.frombuffer(file.checksum.to_bytes(4, "little"), np.uint8))
            file.finish()
            stream.flush()
            shape = len(keys) - len(reasons), block.shape[1]
            rows = np.memmap(stream, np.float32, "c", HEADER, shape)  # torch warns of what cannot be written to
            return Path(stream.name), rows.view(np.ndarray)


def _print(warning: str) -> None:
    print(f"Warning: {warning}", file=sys.stderr)
