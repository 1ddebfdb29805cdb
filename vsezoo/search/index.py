"""A collection that can be asked: the nearest images of a sentence, the nearest sentences of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import UsageError, VsezooError
from vsezoo.model import JointEmbedding
from vsezoo.search.collection import Collection, Sentences
from vsezoo.search.embedding import Advance
from vsezoo.search.lazy_model import LazyModel
from vsezoo.search.sources import Images, Texts, collect_images, collect_texts
from vsezoo.search.store import Embeddings, list_skipped, open_embeddings

BLOCK = 8192
"""Items that are compared with the queries at a time."""


@dataclass(frozen=True)
class Hit:
    """An item that was found.

    Attributes:
        rank: its place, from 1.
        score: what the model's similarity gives; the higher, the better it fits.
        id: what the collection calls it.
        item: its index in the collection.
        text: the sentence; empty for an image.
    """

    rank: int
    score: float
    id: str
    item: int
    text: str = ""


class Index:
    """The joint embeddings of a collection, and the model that made them; see `open_index`.

    Attributes:
        collection: what is searched.
        skipped: why items were left out, by their ids.
    """

    def __init__(self, model: LazyModel, collection: Collection, embeddings: Embeddings) -> None:
        self.collection = collection
        self.skipped: Mapping[str, str] = list_skipped(collection, embeddings)
        self._model, self._rows, self._items = model, embeddings.rows, embeddings.items

    def __len__(self) -> int:
        """Return the number of items that can be found."""
        return len(self._items)

    def knows_words(self, sentence: str) -> bool:
        """Tell whether the model knows a word of a sentence; one that cuts words into pieces always does."""
        return self._model.for_texts.tokenizer.knows(sentence)

    def search(self, query: Any, k: int = 5) -> list[Hit]:
        """Return the `k` items that fit a query best, the best first; of equals, the one that comes first.

        Args:
            query: a sentence, to search images; an image, as `encode_images` takes one, to search sentences.
            k: how many; fewer if there are not so many.

        Raises:
            UsageError: for an empty sentence, or what is no sentence where one is wanted.
            DataError: for an image that the model does not take.
        """
        one = query[None] if isinstance(query, np.ndarray | Tensor) else [query]
        return self.search_many(one, k)[0]

    def search_many(self, queries: Any, k: int = 5) -> list[list[Hit]]:
        """Return what `search` does for each of several queries: sentences, features `(Q, ...)`, or pictures."""
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.")
        if isinstance(queries, str):
            raise UsageError("search_many takes a list of queries, not one string.", remedy="Pass [query], or search.")
        if self.collection.is_text:
            model = self._model.whole
            embedded = model.encode_images(queries)
        else:
            if any(isinstance(query, str) and not query.strip() for query in queries):
                raise UsageError("The sentence is empty.", remedy="Say what is to be found.")
            model = self._model.for_texts
            embedded = model.encode_texts(queries)
        scores, rows = self._find_nearest(model, embedded, min(k, len(self)))
        return [
            [self._describe(rank, score, self._items[row]) for rank, (score, row) in enumerate(found, start=1)]
            for found in map(zip, scores.tolist(), rows.tolist())
        ]

    @torch.inference_mode()
    def _find_nearest(self, model: JointEmbedding, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their numbers, both `(Q, k)`."""
        count = len(queries)
        if count == 1:
            # A product with a single vector adds up some rows in another order than others: equal rows would differ.
            queries = queries.expand(2, -1)
        best = torch.empty(count, 0, device=queries.device)
        places = torch.empty(count, 0, dtype=torch.int64, device=queries.device)
        for start in range(0, len(self._rows), BLOCK):
            block = self._rows[start : start + BLOCK].to(queries.device)
            pair = (queries, block) if self.collection.is_text else (block, queries)
            scores = model.similarity(*pair)
            scores = (scores if self.collection.is_text else scores.T)[:count]
            if scores.isnan().any():
                raise VsezooError(
                    "Some scores are not a number (NaN).",
                    remedy="Look at the model's figures with `vsezoo eval`: its training may have diverged.",
                )
            numbers = torch.arange(start, start + len(block), device=queries.device).expand(count, -1)
            scores, numbers = torch.cat([best, scores], dim=1), torch.cat([places, numbers], dim=1)
            order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]  # of equals, the first stays first
            best, places = scores.gather(1, order), numbers.gather(1, order)
        return best, places

    def _describe(self, rank: int, score: float, item: int) -> Hit:
        text = self.collection.texts[item] if isinstance(self.collection, Sentences) else ""
        return Hit(rank, score, self.collection.ids[item], int(item), text)


def open_index(
    reference: str | Path,
    *,
    images: Images | None = None,
    texts: Texts | None = None,
    device: str | torch.device = "cpu",
    on_bad_image: str = "skip",
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> Index:
    """Embed a collection, or take from the cache what was embedded before.

    The cache is `$VSEZOO_CACHE`, by default `~/.cache/vsezoo`. What it holds belongs to one checkpoint, and to files of
    one size and time of change: what has changed is embedded again.

    Args:
        reference: a checkpoint, as `load` takes it.
        images: what to search with sentences: a folder of pictures, a `.npy` file of features with a row for each
            image, or an open split of a data set.
        texts: what to search with images: a file of sentences, sentences, or an open split, of which the captions are
            meant. One of the two is to be given.
        device: where to encode and compare.
        on_bad_image: "skip": leave out pictures that cannot be read, see `Index.skipped`. "error": stop at one.
        advance: if there is anything to embed, is told how many items are embedded by now, of how many.
        warn: is told if the cache cannot be written; None: it is printed to standard error.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        DataError: for a collection that is absent, empty or damaged, or of another kind than the model takes.
        UsageError: for both or neither of images and texts.
    """
    if images is not None and texts is None:
        collection = collect_images(images, on_bad_image)
    elif texts is not None and images is None:
        collection = collect_texts(texts)
    else:
        raise UsageError("Give either images or texts to search.")
    return index_collection(LazyModel(reference, device), collection, advance, warn)


def index_collection(
    model: LazyModel,
    collection: Collection,
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> Index:
    """Return the index of a collection; see `open_index`."""
    embeddings = open_embeddings(collection, model.fingerprint, lambda: model.whole, advance, warn)
    return Index(model, collection, embeddings)
