"""From the items of a collection to their joint embeddings, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np

from vsezoo.data.named_images import name_source, require_kind
from vsezoo.errors import DataError
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds
from vsezoo.search.collection import Collection

BLOCKS = {"picture": 64, "regions": 256, "vector": 1024, "text": 1024}
"""Items that are read and encoded at a time, by their kind. Two blocks are in memory."""

Advance = Callable[[int, int], None]
"""Is told how many items have been embedded, of how many."""


@dataclass(frozen=True)
class EmbeddedBlock:
    """Some items of a collection.

    Attributes:
        items: those that could be read, by their indices in the collection.
        rows: their joint embeddings, `(len(items), D)` float32.
        bad: why the others could not be read, by their indices.
    """

    items: Sequence[int]
    rows: np.ndarray[Any, np.dtype[np.float32]]
    bad: Mapping[int, str]


def embed_items(model: JointEmbedding, collection: Collection, items: Sequence[int]) -> Iterator[EmbeddedBlock]:
    """Embed these items of a collection, in their order.

    The next block is read while one is encoded.

    Raises:
        DataError: for a collection of another kind than the model takes, or an item that cannot be read.
    """
    if not collection.is_text:
        require_kind(collection.name, collection.kind, accepted_kinds(model.recipe))
    size = BLOCKS[collection.kind]
    blocks = [items[start : start + size] for start in range(0, len(items), size)]
    with ThreadPool(1) as reader:  # its thread does not keep a process alive that Ctrl-C ends
        coming = [reader.apply_async(collection.read, (block,)) for block in blocks[:1]]
        for number, block in enumerate(blocks):
            read = coming.pop().get()
            coming += [reader.apply_async(collection.read, (after,)) for after in blocks[number + 1 : number + 2]]
            good = [item for item in block if item not in read.bad]
            yield EmbeddedBlock(good, _encode(model, collection, read.content, len(good)), read.bad)


def _encode(
    model: JointEmbedding, collection: Collection, content: Any, count: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    encode = model.encode_texts if collection.is_text else model.encode_images
    with name_source(collection.name):
        rows = encode(content) if count else model.encode_texts([])
    if not rows.isfinite().all():
        raise DataError(
            "the model gives embeddings that are not finite numbers.",
            file=collection.name,
            remedy="Look at the model's figures with `vsezoo eval`: its training may have diverged.",
        )
    return rows.cpu().numpy()
