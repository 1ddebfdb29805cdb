"""A searchable collection: find the nearest images of a sentence, or the nearest sentences of an image."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.batch import Embeddings
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.kinds import name_source
from vsezoo.errors import UsageError, report_system_errors
from vsezoo.interfaces import PairDataset, Similarity
from vsezoo.model import JointEmbedding
from vsezoo.parts import accepted_kinds, load_part
from vsezoo.search.collection import Collection, Sentences
from vsezoo.search.engines import embed_with
from vsezoo.search.hit import Hit
from vsezoo.search.indexes import ExactRows, NearestRows, Rows, require_metric
from vsezoo.search.queries import resolve_query
from vsezoo.search.rescoring import CANDIDATES, score_candidates
from vsezoo.search.sources import Images, Texts, collect_images, collect_texts
from vsezoo.search.store import list_skipped, open_embeddings
from vsezoo.search.stored.manifest import is_index, require_known, require_model
from vsezoo.search.stored.opening import MakeNearest, open_folder
from vsezoo.search.stored.remote import locate_folder
from vsezoo.similarities import CosineSimilarity
from vsezoo.storage.waiting import Advance


class Index:
    """A collection with its joint embeddings and the model that computed them; see `open_index`.

    Attributes:
        collection: the collection that is searched.
        skipped: reasons by the ids of skipped items.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | torch.device,
        collection: Collection,
        rows: Rows,
        items: Sequence[int],
        skipped: Mapping[str, str],
        nearest: MakeNearest = ExactRows,
    ) -> None:
        self.collection, self.skipped = collection, skipped
        self._checkpoint, self._device = checkpoint, device
        self._is_uncertain: bool = load_part(checkpoint.recipe, "similarity").uncertain
        self._rows, self._alive, self._items, self._count = rows.vectors, rows.alive, items, rows.count
        self._make_nearest = nearest
        self._nearest: dict[type[Similarity], NearestRows] = {}

    def __repr__(self) -> str:
        """Return what is searched, and by which model."""
        return f"<Index of {self.collection.title}: {len(self):,} items, by {self._checkpoint.recipe.name}>"

    def __len__(self) -> int:
        """Return the number of searchable items."""
        return self._count

    def has(self, item: int) -> bool:
        """Return whether an item, by its number as `Hit.item`, can be found: neither skipped nor removed."""
        row = bisect_left(self._items, item)
        return row < len(self._items) and self._items[row] == item and (self._alive is None or bool(self._alive[row]))

    def sample(self, count: int) -> list[int]:
        """Return the numbers of items at even distances, from the first to the last; all, if there are fewer."""
        rows = range(len(self._items)) if self._alive is None else self._alive.nonzero().flatten()
        places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
        return [int(self._items[int(rows[place])]) for place in places]

    def knows_words(self, sentence: str) -> bool:
        """Return whether the model knows a word of a sentence; always true for subword tokenizers."""
        return self._checkpoint.text_side(self._device).tokenizer.knows(sentence)

    def search(self, query: Any, k: int = 5) -> list[Hit]:
        """Return the `k` items with the highest scores, best first; ties are in collection order.

        If the similarity compares sets, they are the best of the `20 * k` items with the nearest vectors.

        Args:
            query: a sentence or an image file, to search images; or an image, to search sentences, as `encode_images`
                takes it or by name, as in `vsezoo search`: an image file, `FILE.npy:ROW`, or, if captions of a split
                are searched, one of its images by index or id.
            k: number of results; fewer if the collection is smaller.

        Raises:
            UsageError: for an empty sentence, or a query of the wrong kind.
            DataError: for an image that cannot be read, or of a kind that the model does not take.
        """
        if isinstance(query, str | Path):
            searched: Literal["images", "texts"] = "texts" if self.collection.is_text else "images"
            asked = resolve_query(str(query), accepted_kinds(self._checkpoint.recipe), self._open_split, searched)
            with name_source(asked.image.source if asked.image else ""):
                if asked.image is None or self.collection.is_text:
                    return self.search_many(asked.read(), k)[0]
                embedded = self._checkpoint.model(self._device).embed_images(asked.read())
                return self.search_vectors(embedded.embeddings, k)[0]
        one = query[None] if isinstance(query, np.ndarray | Tensor) else [query]
        return self.search_many(one, k)[0]

    def search_many(self, queries: Any, k: int = 5) -> list[list[Hit]]:
        """Return the results of `search` for several queries: sentences, features `(Q, ...)`, pictures, or names."""
        if k < 1:
            raise UsageError(f"k is {k}; it must be at least 1.")
        if isinstance(queries, str):
            raise UsageError("search_many takes a list of queries, not one string.", remedy="Pass [query], or search.")
        if self.collection.is_text and all(isinstance(query, str | Path) for query in queries):
            return [self.search(query, k) for query in queries]
        model, embedded = self._embed(queries)
        if model.compares_sets:
            return self._list_hits(self._find_by_sets(embedded, k))
        return self._list_hits(self._find(model.similarity, embedded.embeddings, k))

    def search_vectors(self, queries: Tensor, k: int = 5) -> list[list[Hit]]:
        """Return the results for vectors of the joint space `(Q, D)`, such as the embedding of a picture for pictures.

        Scores are those of the similarity; the cosine, if it compares sets.

        Raises:
            UsageError: for a similarity that is not an inner product: it compares images with texts only.
        """
        name, similarity = self._checkpoint.recipe.similarity.name, load_part(self._checkpoint.recipe, "similarity")
        if similarity.inputs != "sets" and similarity.metric != "inner_product":
            raise UsageError(
                f"The similarity {name!r} compares images with sentences only.",
                remedy="Search with one sentence, or with a model whose similarity is `cosine`.",
            )
        return self._list_hits(self._find(CosineSimilarity(), queries, k))

    def _list_hits(self, found: list[list[tuple[float, int]]]) -> list[list[Hit]]:
        return [[self._describe(rank, score, row) for rank, (score, row) in enumerate(hits, start=1)] for hits in found]

    def read_vectors(self, items: Sequence[int]) -> Tensor:
        """Return the vectors of items, `(len(items), D)` float32, for `search_vectors`: more like these.

        Args:
            items: numbers of searchable items, as `Hit.item`.
        """
        rows = [bisect_left(self._items, item) for item in items]
        return self._rows[rows].float().to(self._device)

    def read_uncertainty(self, queries: Any) -> list[float]:
        """Return how uncertain queries are, as `search_many` takes them; see `JointEmbedding.read_uncertainty`.

        Raises:
            UsageError: for a model whose embeddings are not probabilistic.
        """
        model, embedded = self._embed(queries)
        numbers: list[float] = model.read_uncertainty(embedded).tolist()
        return numbers

    def _embed(self, queries: Any) -> tuple[JointEmbedding, Embeddings]:
        """Return queries of the other kind than what is searched, embedded, and what has embedded them."""
        if self.collection.is_text:
            model = self._checkpoint.model(self._device)
            return model, model.embed_images(queries)
        if any(isinstance(query, str) and not query.strip() for query in queries):
            raise UsageError("The query is empty.", remedy="Describe what to look for.")
        model = self._checkpoint.text_side(self._device)
        return model, model.embed_texts(queries)

    def _open_split(self) -> PairDataset:
        """Return the split that the captions belong to."""
        data = self.collection.data if isinstance(self.collection, Sentences) else None
        if data is None:
            raise UsageError("The sentences are not the captions of a split.", remedy="Name an image file.")
        return data

    @torch.inference_mode()
    def _find(self, similarity: Similarity, queries: Tensor, k: int) -> list[list[tuple[float, int]]]:
        """Return the scores of the nearest rows of each query, and their row numbers."""
        scores, rows = self._open_rows(similarity).find(queries, min(k, len(self)))
        return [list(zip(*pair, strict=True)) for pair in zip(scores.tolist(), rows.tolist(), strict=True)]

    def _find_by_sets(self, queries: Embeddings, k: int) -> list[list[tuple[float, int]]]:
        """Return the same for a similarity over sets, comparing the rows with the nearest vectors."""
        nearest = self._find(CosineSimilarity(), queries.embeddings, k * CANDIDATES)
        candidates = [sorted(row for _, row in hits) for hits in nearest]  # ties are in row order
        items = [[int(self._items[row]) for row in rows] for rows in candidates]
        scores = score_candidates(self._checkpoint.model(self._device), self.collection, queries, items)
        scored = [zip(*pair, strict=True) for pair in zip(scores, candidates, strict=True)]
        readable = [[(score, row) for score, row in hits if score > -math.inf] for hits in scored]
        return [sorted(hits, key=lambda hit: -hit[0])[:k] for hits in readable]

    def _open_rows(self, similarity: Similarity) -> NearestRows:
        """Return the search backend for a similarity, which is built once: the model's, or the cosine."""
        if type(similarity) not in self._nearest:
            side: Literal["images", "texts"] = "texts" if self.collection.is_text else "images"
            self._nearest[type(similarity)] = self._make_nearest(self._rows, similarity, side)
        return self._nearest[type(similarity)]

    def _describe(self, rank: int, score: float, row: int) -> Hit:
        item = int(self._items[row])
        text = self.collection.sentence(item)
        uncertainty = float(self._rows[row, -1]) if self._is_uncertain else None
        return Hit(rank, score, self.collection.ids[item], item, text, uncertainty)


@report_system_errors
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
    """Embed a collection, reusing cached embeddings.

    The cache is `$VSEZOO_CACHE`, by default `~/.cache/vsezoo`. Its entries belong to one checkpoint, and to files with
    a given size and modification time: changed files are embedded again.

    Args:
        reference: a checkpoint, as `load` takes it.
        images: images to search with sentences: a folder of pictures, a picture file or a list of them, a `.npy` file
            with one row of features per image, or an open split of a data set.
        texts: sentences to search with images: a file of sentences, sentences, or an open split, for its captions. Give
            either images or texts.
        device: device of the model.
        on_bad_image: "skip": skip pictures that cannot be read, see `Index.skipped`. "error": stop at the first one.
        index: the registered search backend; "exact" scores every item. Or an index folder, see
            `vsezoo.search.stored.building`: then neither images nor texts are needed.
        advance: progress callback `(done, total)`; not called if everything is cached.
        warn: called with a message if the cache cannot be written; None: print it to standard error.

    Raises:
        CheckpointError: for a checkpoint that cannot be read.
        DataError: for a collection that is absent, empty or damaged, or of a kind that the model does not take.
        UsageError: for both or neither of images and texts, or an index that does not support the similarity.
        UnknownNameError: for an index that is not registered.
    """
    require_known(index)
    collection: Collection | None
    if images is None and texts is None and is_index(index):
        collection = None
    elif images is not None and texts is None:
        collection = collect_images(images, on_bad_image)
    elif texts is not None and images is None:
        collection = collect_texts(texts)
    else:
        raise UsageError("Give either images or texts to search.")
    return index_collection(Checkpoint.open(reference), device, collection, index, advance, warn)


def index_collection(
    checkpoint: Checkpoint,
    device: str | torch.device,
    collection: Collection | None,
    index: str = "exact",
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> Index:
    """Return the index of a collection; see `open_index`. An index folder needs none."""
    if is_index(index):
        folder = open_folder(locate_folder(index), collection)
        require_model(Path(folder.items.name), folder.manifest, checkpoint.recipe.name, checkpoint.digest)
        items = range(len(folder.rows.vectors))
        return Index(checkpoint, device, folder.items, folder.rows, items, {}, folder.make_nearest)
    if collection is None:
        raise UsageError("Name what is to be searched.", remedy="Give images, texts, or an index folder.")
    nearest: type[NearestRows] = registry.load("indexes", index)
    similarity: type[Similarity] = load_part(checkpoint.recipe, "similarity")
    searched = CosineSimilarity if similarity.inputs == "sets" else similarity
    require_metric(index, nearest, checkpoint.recipe.similarity.name, searched)
    computed = checkpoint.describe_computation(collection.kind)
    embeddings = open_embeddings(collection, computed, embed_with(checkpoint, collection, device), advance, warn)
    skipped, rows = list_skipped(collection, embeddings), Rows(embeddings.rows, None)
    return Index(checkpoint, device, collection, rows, embeddings.items.tolist(), skipped, nearest)
