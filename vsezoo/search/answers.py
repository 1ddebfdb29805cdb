"""The results of many queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.search.hit import Hit
from vsezoo.search.index import Index
from vsezoo.search.queries import Query
from vsezoo.search.query_file import Asked
from vsezoo.search.terms import search_by_terms

BLOCK = 256
"""Number of queries that are searched together."""


def answer_queries(
    index: Index, checkpoint: Checkpoint, device: str | torch.device, queries: Sequence[Asked]
) -> Iterator[list[Hit]]:
    """Yield the results of each query, in order. Queries of one sentence are embedded and searched together.

    Args:
        index: the collection.
        checkpoint: its model.
        device: device of the model.
        queries: the queries.

    Raises:
        UsageError: see `Index.search_many` and `search_by_terms`.
    """
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK]
        plain = [one for one in block if not one.plus and not one.minus]
        most = max((one.k for one in plain), default=1)
        together = iter(index.search_many([one.query for one in plain], most) if plain else [])
        for one in block:
            if not one.plus and not one.minus:
                yield next(together)[: one.k]
                continue
            plus, minus = ([Query(text) for text in texts] for texts in ((one.query, *one.plus), one.minus))
            yield search_by_terms(index, checkpoint, device, plus, minus, one.k)
