"""Metrics of one query, from the ranks of all its matches. Imports nothing heavy.

Ranks count from 1 here, as tools for information retrieval count them, and ascend. The mean of a metric over the
queries is the figure that a tool reports; docs/definitions.md says which tool reports which. A fractional rank, of the
tie rule `expected`, is among the first k if it is below k + 1, as for the figures of `vsezoo eval`.
"""

from __future__ import annotations

from collections.abc import Sequence

Ranks = Sequence[float]


def hit(ranks: Ranks, k: int) -> float:
    """Return 1 if a match is among the first k, else 0: the mean over the queries is the field's R@K."""
    return float(ranks[0] < k + 1)


def recall(ranks: Ranks, k: int) -> float:
    """Return the share of the matches that are among the first k. Most papers of the field report `hit` as R@K."""
    return sum(rank < k + 1 for rank in ranks) / len(ranks)


def precision(ranks: Ranks, k: int) -> float:
    """Return the share of the first k that match."""
    return sum(rank < k + 1 for rank in ranks) / k


def r_precision(ranks: Ranks) -> float:
    """Return the precision among the first R, R being the number of matches."""
    return precision(ranks, len(ranks))


def average_precision(ranks: Ranks) -> float:
    """Return the mean over the matches of the precision at their ranks: its mean over the queries is mAP."""
    return sum(place / rank for place, rank in enumerate(ranks, start=1)) / len(ranks)


def map_at_r(ranks: Ranks) -> float:
    """Return mAP@R: as `average_precision`, but matches beyond rank R, the number of matches, count 0.

    Musgrave et al. (2020), equation 2; the main metric of ECCV Caption (Chun et al. 2022).
    """
    count = len(ranks)
    return sum(place / rank for place, rank in enumerate(ranks, start=1) if rank < count + 1) / count


def reciprocal_rank(ranks: Ranks) -> float:
    """Return 1 / rank of the first match: its mean over the queries is MRR."""
    return 1 / ranks[0]
