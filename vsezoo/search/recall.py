"""How many of the nearest rows an approximate index finds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vsezoo.search.indexes import NearestRows, Rows


def draw_rows(rows: Rows, count: int, seed: int = 0) -> Tensor:
    """Return the numbers of so many rows that may be found, drawn at random, in random order."""
    alive = torch.arange(len(rows.vectors)) if rows.alive is None else rows.alive.nonzero().flatten()
    return alive[torch.randperm(len(alive), generator=torch.Generator().manual_seed(seed))[:count]]


@torch.inference_mode()
def find_best(exact: NearestRows, queries: Tensor, k: int, own: Tensor | None = None) -> list[set[int]]:
    """Return the `k` best rows of each query.

    Args:
        exact: finds the best rows.
        queries: `(Q, D)`.
        k: number of results.
        own: the rows that are the queries, `(Q,)`, which do not count; None: the queries are not rows.
    """
    if own is None:
        return [set(rows) for rows in exact.find(queries, k)[1].tolist()]
    found = exact.find(queries, k + 1)[1].tolist()
    return [set([row for row in rows if row != self][:k]) for rows, self in zip(found, own.tolist(), strict=True)]


@torch.inference_mode()
def measure_recall(index: NearestRows, queries: Tensor, best: Sequence[set[int]], *, are_rows: bool) -> float:
    """Return the share of the best rows that an index finds, the mean over the queries.

    Args:
        index: the index.
        queries: `(Q, D)`.
        best: what `find_best` has returned for them.
        are_rows: whether the queries are rows, which find themselves as well.
    """
    found = index.find(queries, len(best[0]) + are_rows)[1].tolist()
    return statistics.fmean(len(rows & {*some}) / len(rows) for rows, some in zip(best, found, strict=True))


def choose_least(most: int, is_enough: Callable[[int], bool]) -> int:
    """Return the least number that is enough, of 1, 2, 3, 4, 6, 8, 12, … up to `most`, which is taken if none is."""
    steps = sorted({min(most, count << power) for count in (2, 3) for power in range(most.bit_length())} | {1, most})
    low, high = 0, len(steps) - 1
    while low < high:
        middle = (low + high) // 2
        if is_enough(steps[middle]):
            high = middle
        else:
            low = middle + 1
    return steps[low]
