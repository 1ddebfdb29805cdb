"""A collection that can be asked: the nearest images of a sentence, the nearest sentences of an image."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.batch import Embeddings
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.kinds import name_source
from vsezoo.errors import UsageError
from vsezoo.interfaces import PairDataset, Similarity
from vsezoo.parts import accepted_kinds, load_part
from vsezoo.search.collection import Collection, Sentences
from vsezoo.search.nearest import ExactRows, NearestRows, require_metric
from vsezoo.search.queries import resolve_query
from vsezoo.search.rescoring import CANDIDATES, score_candidates
from vsezoo.search.sources import Images, Texts, collect_images, collect_texts
from vsezoo.search.store import StoredRows, list_skipped, open_embeddings
from vsezoo.similarities import CosineSimilarity
from vsezoo.storage.waiting import Advance


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

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device,
        collection: Collection,
        embeddings: StoredRows,
        nearest: type[NearestRows] = ExactRows,
    ) -> None:
        self.collection = collection
        self.skipped: Mapping[str, str] = list_skipped(collection, embeddings)
        self._checkpoint, self._device = checkpoint, device
        self._rows, self._items = embeddings.rows, embeddings.items
        self._make_nearest = nearest
        self._nearest: NearestRows | None = None

    def __len__(self) -> int:
        """Return the number of items that can be found."""
        return len(self._items)

    def knows_words(self, sentence: str) -> bool:
        """Tell whether the model knows a word of a sentence; one that cuts words into pieces always does."""
        return self._checkpoint.text_side(self._device).tokenizer.knows(sentence)

    def search(self, query: Any, k: int = 5) -> list[Hit]:
        """Return the `k` items that fit a query best, the best first; of equals, the one that comes first.

        If the similarity compares sets, these are the best of `20 * k` items, those whose vectors are nearest.

        Args:
            query: a sentence, to search images; an image, to search sentences: as `encode_images` takes one, or by its
                name, as `vsezoo search` takes it: an image file, `FILE.npy:ROW`, or, where captions of a split are
                searched, one of its images by index or id.
            k: how many; fewer if there are not so many.

        Raises:
            UsageError: for an empty sentence, or a query that is not what is needed.
            DataError: for an image that cannot be read, or that the model does not take.
        """
        if isinstance(query, str | Path):
            searched: Literal["images", "texts"] = "texts" if self.collection.is_text else "images"
            asked = resolve_query(str(query), accepted_kinds(self._checkpoint.recipe), self._open_split, searched)
            with name_source(asked.image.source if asked.image else ""):
                return self.search_many(asked.read(), k)[0]
        one = query[None] if isinstance(query, np.ndarray | Tensor) else [query]
        return self.search_many(one, k)[0]

    def search_many(self, queries: Any, k: int = 5) -> list[list[Hit]]:
        """Return what `search` does for each of several queries: sentences, features `(Q, ...)`, pictures, or names."""
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.")
        if isinstance(queries, str):
            raise UsageError("search_many takes a list of queries, not one string.", remedy="Pass [query], or search.")
        if self.collection.is_text and all(isinstance(query, str | Path) for query in queries):
            return [self.search(query, k) for query in queries]
        if self.collection.is_text:
            model = self._checkpoint.model(self._device)
            embedded = model.embed_images(queries)
        else:
            if any(isinstance(query, str) and not query.strip() for query in queries):
                raise UsageError("The sentence is empty.", remedy="Say what is to be found.")
            model = self._checkpoint.text_side(self._device)
            embedded = model.embed_texts(queries)
        if model.compares_sets:
            found = self._find_by_sets(embedded, k)
        else:
            found = self._find(model.similarity, embedded.embeddings, k)
        return [
            [self._describe(rank, score, self._items[row]) for rank, (score, row) in enumerate(hits, start=1)]
            for hits in found
        ]

    def _open_split(self) -> PairDataset:
        """Return the split whose captions are searched."""
        data = self.collection.data if isinstance(self.collection, Sentences) else None
        if data is None:
            raise UsageError("The sentences are not the captions of a split.", remedy="Name an image file.")
        return data

    @torch.inference_mode()
    def _find(self, similarity: Similarity, queries: Tensor, k: int) -> list[list[tuple[float, int]]]:
        """Return the scores of the nearest rows of each query, and their numbers."""
        scores, rows = self._open_rows(similarity).find(queries, min(k, len(self)))
        return [list(zip(*pair, strict=True)) for pair in zip(scores.tolist(), rows.tolist(), strict=True)]

    def _find_by_sets(self, queries: Embeddings, k: int) -> list[list[tuple[float, int]]]:
        """Return the same by a similarity over sets, of the rows whose vectors are nearest."""
        nearest = self._find(CosineSimilarity(), queries.embeddings, k * CANDIDATES)
        candidates = [sorted(row for _, row in hits) for hits in nearest]  # of equals, the first comes first
        items = [[int(self._items[row]) for row in rows] for rows in candidates]
        scores = score_candidates(self._checkpoint.model(self._device), self.collection, queries, items)
        scored = [zip(*pair, strict=True) for pair in zip(scores, candidates, strict=True)]
        readable = [[(score, row) for score, row in hits if score > -math.inf] for hits in scored]
        return [sorted(hits, key=lambda hit: -hit[0])[:k] for hits in readable]

    def _open_rows(self, similarity: Similarity) -> NearestRows:
        """Return the search backend, which is built once."""
        if self._nearest is None:
            side: Literal["images", "texts"] = "texts" if self.collection.is_text else "images"
            self._nearest = self._make_nearest(self._rows, similarity, side)
        return self._nearest

    def _describe(self, rank: int, score: float, item: int) -> Hit:
        text = self.collection.texts[item] if isinstance(self.collection, Sentences) else ""
        return Hit(rank, score, self.collection.ids[item], int(item), text)


def open_index(
    reference: str | Path | Checkpoint,
    *,
    images: Images | None = None,
    texts: Texts | None = None,
    device: str | torch.device = "cpu",
    on_bad_image: str = "skip",
    index: str = "exact",
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
        index: the registered search backend; "exact" scores every item.
        advance: progress callback `(done, total)`, of items; not called if everything is cached.
        warn: called with a message if the cache cannot be written; None: printed to standard error.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        DataError: for a collection that is absent, empty or damaged, or of another kind than the model takes.
        UsageError: for both or neither of images and texts, or an index that does not go with the model's similarity.
        UnknownNameError: for an index that is not registered.
    """
    if images is not None and texts is None:
        collection = collect_images(images, on_bad_image)
    elif texts is not None and images is None:
        collection = collect_texts(texts)
    else:
        raise UsageError("Give either images or texts to search.")
    return index_collection(Checkpoint.open(reference), device, collection, index, advance, warn)


def index_collection(
    checkpoint: Checkpoint,
    device: str | torch.device,
    collection: Collection,
    index: str = "exact",
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> Index:
    """Return the index of a collection; see `open_index`."""
    nearest: type[NearestRows] = registry.load("indexes", index)
    similarity: type[Similarity] = load_part(checkpoint.recipe, "similarity")
    searched = CosineSimilarity if similarity.inputs == "sets" else similarity
    require_metric(index, nearest, checkpoint.recipe.similarity.name, searched)
    embeddings = open_embeddings(collection, checkpoint.digest, lambda: checkpoint.model(device), advance, warn)
    return Index(checkpoint, device, collection, embeddings, nearest)
