"""Queries for images by pictures, and by several sentences and pictures: `"beach" --minus "people"`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.kinds import name_source
from vsezoo.errors import UsageError
from vsezoo.search.hit import Hit
from vsezoo.search.index import Index
from vsezoo.search.queries import Query


def search_by_terms(
    index: Index,
    checkpoint: Checkpoint,
    device: str | torch.device,
    plus: Sequence[Query],
    minus: Sequence[Query] = (),
    k: int = 5,
) -> list[Hit]:
    """Return the images nearest to a sum of embeddings: the score is that of each term, added or subtracted.

    Sentences and pictures are embedded by their own encoders. If the similarity compares sets, their vectors are
    compared by the cosine instead.

    Args:
        index: a collection of images.
        checkpoint: the model of the index.
        device: device of the model.
        plus: what to look for, one at least.
        minus: what to avoid.
        k: number of results.

    Raises:
        UsageError: for a similarity that is not an inner product, an empty sentence, or a collection of texts.
        DataError: for a picture that cannot be read.
    """
    if index.collection.is_text:
        raise UsageError("Several terms, and pictures, are for images: give --images, or a data set without --texts.")
    total = sum((_embed(checkpoint, device, query) for query in plus[1:]), start=_embed(checkpoint, device, plus[0]))
    for query in minus:
        total = total - _embed(checkpoint, device, query)
    return index.search_vectors(total, k)[0]


def _embed(checkpoint: Checkpoint, device: str | torch.device, query: Query) -> Tensor:
    """Return the vector of a term, `(1, D)`."""
    if query.image is not None:
        with name_source(query.image.source):
            return checkpoint.model(device).embed_images(query.read()).embeddings
    if not query.name.strip():
        raise UsageError("The query is empty.", remedy="Describe what to look for.")
    return checkpoint.text_side(device).embed_texts(query.read()).embeddings
