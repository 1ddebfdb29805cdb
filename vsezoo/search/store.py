"""The embeddings of a collection, kept in the cache: what was embedded once is embedded again only if it has changed.

A file of the cache belongs to one checkpoint and one collection. It holds the embeddings, the keys of all items, which
of them could not be read and why, and a checksum. A file that is damaged, or does not fit the collection any more, is
made anew; rows of items that have not changed are taken over.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsezoo.data.cache import find_cache
from vsezoo.errors import StorageError
from vsezoo.model import JointEmbedding
from vsezoo.search.collection import Array, Collection
from vsezoo.search.embedding import Advance, describe_unreadable, embed_items
from vsezoo.search.tensor_file import write_tensors

TOPIC = "embeddings"
"""The folder in the cache."""
CONTENT = ("rows", "keys", "is_bad", "reasons")
"""The tensors of a file, whose checksum follows them."""
BLOCK = 1024
"""Items whose rows are in memory at a time."""


@dataclass(frozen=True)
class Embeddings:
    """What is known of the items of a collection.

    Attributes:
        rows: `(n, D)` float32, the joint embeddings of the items that could be read; mapped, not read.
        keys: `(N, 16)` uint8, of all items.
        is_bad: `(N,)` bool, which items could not be read.
        reasons: why not, by their indices.
    """

    rows: Tensor
    keys: Array
    is_bad: Array
    reasons: Mapping[int, str]

    @property
    def items(self) -> Array:
        """Which item each row is of, `(n,)`."""
        return np.flatnonzero(~self.is_bad)


def open_embeddings(
    collection: Collection,
    checkpoint: str,
    load_model: Callable[[], JointEmbedding],
    advance: Advance,
    warn: Callable[[str], None],
) -> Embeddings:
    """Return the embeddings of a collection, from the cache as far as they are there.

    Args:
        collection: of images or sentences.
        checkpoint: what changes when the checkpoint does.
        load_model: called if there is anything to embed.
        advance: is told of the progress.
        warn: is told that the cache cannot be written; the embeddings are then computed for this call alone.

    Raises:
        DataError: see `embed_items`; or when no item can be read.
    """
    keys = collection.keys()
    name = [checkpoint, collection.kind, collection.place or hashlib.sha256(keys.tobytes()).hexdigest()]
    path = find_cache() / TOPIC / f"{hashlib.sha256(json.dumps(name).encode()).hexdigest()}.safetensors"
    held = _read(path)
    if held is not None and np.array_equal(held.keys, keys) and (collection.skips or not held.reasons):
        return held
    model = load_model()
    try:
        _write(path, model, collection, keys, held, advance)
        return _require(path)
    except StorageError as error:
        warn(f"The embeddings are not kept for the next time: {error.file} {error.problem}")
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder) / path.name, model, collection, keys, held, advance)
        return _require(Path(folder) / path.name)  # what is mapped outlives the name


def _require(path: Path) -> Embeddings:
    """Return what was just written."""
    written = _read(path)
    if written is None:
        raise StorageError("is not what was written to it.", file=path, remedy="Look after that disk.")
    return written


def _read(path: Path) -> Embeddings | None:
    """Return what a file of the cache holds; None if it is not there, or damaged."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in (*CONTENT, "checksum")}
    except (OSError, SafetensorError):
        return None
    checksum = 0
    for name in CONTENT:
        checksum = zlib.crc32(tensors[name].numpy().data.cast("B"), checksum)
    if tensors["checksum"].numpy().tobytes() != checksum.to_bytes(4, "little"):
        return None
    reasons = json.loads(tensors["reasons"].numpy().tobytes())
    return Embeddings(
        tensors["rows"],
        tensors["keys"].numpy(),
        tensors["is_bad"].numpy().astype(bool),
        {int(item): reason for item, reason in reasons.items()},
    )


def _write(
    path: Path, model: JointEmbedding, collection: Collection, keys: Array, held: Embeddings | None, advance: Advance
) -> None:
    """Write a file of the cache, with the rows that `held` has of the items."""
    known = {} if held is None else {held.keys[item].tobytes(): held.rows[row] for row, item in enumerate(held.items)}
    new = [item for item, key in enumerate(keys) if key.tobytes() not in known]
    reasons: dict[int, str] = {}
    done = 0
    with write_tensors(path) as file:
        for start in range(0, len(keys), BLOCK):
            items = range(start, min(start + BLOCK, len(keys)))
            fresh: dict[int, Array] = {}
            for block in embed_items(model, collection, [item for item in items if keys[item].tobytes() not in known]):
                fresh.update(zip(block.items, block.rows, strict=True))
                reasons.update(block.bad)
                done += len(block.items) + len(block.bad)
                advance(done, len(new))
            good = [item for item in items if item not in reasons]
            if good:
                rows = [fresh[item] if item in fresh else known[keys[item].tobytes()].numpy() for item in good]
                file.append("rows", np.stack(rows))
        if len(reasons) == len(keys):
            raise describe_unreadable(collection, reasons)
        file.append("keys", keys)
        file.append("is_bad", np.isin(np.arange(len(keys)), list(reasons)).astype(np.uint8))
        file.append("reasons", np.frombuffer(json.dumps(reasons).encode(), np.uint8))
        file.append("checksum", np.frombuffer(file.checksum.to_bytes(4, "little"), np.uint8))
