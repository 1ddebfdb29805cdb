"""Compute the joint embeddings of the items of a collection, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from vsezoo.data.kinds import name_source, require_kind
from vsezoo.errors import DataError
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds
from vsezoo.search.collection import Collection
from vsezoo.storage.read_ahead import read_ahead

BLOCKS = {"picture": 64, "regions": 256, "vector": 1024, "text": 1024}
"""Number of items whose embeddings are returned at a time, by kind."""

BATCHES = {"picture": 16}
"""Number of items that are read and encoded at a time, if less than a block. Two batches are in memory at once, and a
picture can take 36 MB."""

NO_ROWS = np.empty((0, 0), np.float32)


@dataclass(frozen=True)
class EmbeddedBlock:
    """The embeddings of some items of a collection.

    Attributes:
        items: collection indices of the readable items.
        rows: their joint embeddings, `(len(items), D)` float32; `(0, 0)` if there are none.
        bad: errors by the collection indices of the others.
    """

    items: Sequence[int]
    rows: np.ndarray[Any, np.dtype[np.float32]]
    bad: Mapping[int, DataError]


Embed = Callable[[Sequence[int]], Iterator[EmbeddedBlock]]
"""Embeds items of a collection, block by block, in this order."""


def embed_items(
    load_model: Callable[[], JointEmbedding], collection: Collection, items: Sequence[int]
) -> Iterator[EmbeddedBlock]:
    """Embed these items of a collection, in this order.

    The next batch is read while one is encoded. The model is loaded only when there is something to encode: unreadable
    items, which are retried at each call, do not need it.

    Raises:
        DataError: for a collection of another kind than the model takes, or an item that cannot be read.
    """
    size = BLOCKS[collection.kind]
    batch = min(size, BATCHES.get(collection.kind, size))
    batches = _embed_batches(load_model, collection, items, batch)
    while block := list(islice(batches, size // batch)):
        rows = [part.rows for part in block if part.items]
        yield EmbeddedBlock(
            [item for part in block for item in part.items],
            np.concatenate(rows) if rows else NO_ROWS,
            {item: error for part in block for item, error in part.bad.items()},
        )


def _embed_batches(
    load_model: Callable[[], JointEmbedding], collection: Collection, items: Sequence[int], size: int
) -> Iterator[EmbeddedBlock]:
    @cache
    def load() -> JointEmbedding:
        model = load_model()
        if not collection.is_text:
            require_kind(collection.name, collection.kind, accepted_kinds(model.recipe))
        return model

    batches = [items[start : start + size] for start in range(0, len(items), size)]
    for batch, read in read_ahead(collection.read, batches):
        good = [item for item in batch if item not in read.bad]
        rows = _encode(load(), collection, read.content) if good else NO_ROWS
        yield EmbeddedBlock(good, rows, read.bad)


def _encode(model: JointEmbedding, collection: Collection, content: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    encode = model.encode_texts if collection.is_text else model.encode_images
    with name_source(collection.name):
        rows = encode(content)
    if not rows.isfinite().all():
        raise DataError(
            "the embeddings of the model are not finite.",
            file=collection.name,
            remedy="Evaluate the model with `vsezoo eval`: its training may have diverged.",
        )
    return rows.cpu().numpy()
