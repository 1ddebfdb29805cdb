"""The second stage of a search with a similarity over sets: encode the candidates again, and compare the sets.

The cache contains vectors only. The candidates are the nearest of them, by the similarity `cosine`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from vsezoo.batch import Embeddings
from vsezoo.data.kinds import name_source
from vsezoo.model import JointEmbedding
from vsezoo.search.collection import Collection
from vsezoo.search.embedding import BATCHES, BLOCKS

CANDIDATES = 20
"""Number of candidates for each requested result."""


@torch.inference_mode()
def score_candidates(
    model: JointEmbedding, collection: Collection, queries: Embeddings, candidates: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Return the scores of the candidates of each query by the similarity of the model.

    Each item is encoded once, in batches, even if it is a candidate of several queries.

    Args:
        model: a model whose similarity compares sets.
        collection: the collection that is searched.
        queries: queries of the other kind than the collection.
        candidates: item indices for each query.

    Returns:
        scores in the order of the candidates; minus infinity for items that can no longer be read.

    Raises:
        DataError: for an item that cannot be read, unless the collection skips such items.
    """
    scores = [dict.fromkeys(chosen, -torch.inf) for chosen in candidates]
    items = sorted({item for chosen in candidates for item in chosen})
    size = BATCHES.get(collection.kind, BLOCKS[collection.kind])
    for start in range(0, len(items), size):
        batch = items[start : start + size]
        read = collection.read(batch)
        good = [item for item in batch if item not in read.bad]
        if not good:
            continue
        embed = model.embed_texts if collection.is_text else model.embed_images
        with name_source(collection.name):
            embedded = embed(read.content, sets=True)
        for number, known in enumerate(scores):
            places = [place for place, item in enumerate(good) if item in known]
            if not places:
                continue
            query, found = queries[number : number + 1], embedded[torch.tensor(places, device=model.device)]
            sides = (query, found) if collection.is_text else (found, query)
            compared = model.similarity.compare(*sides).flatten().tolist()
            known.update(zip([good[place] for place in places], compared, strict=True))
    return [[known[item] for item in chosen] for known, chosen in zip(scores, candidates, strict=True)]
