"""The queries on which two models differ most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vsezoo.comparison.grouping import Group
from vsezoo.evaluation.predictions import Query


@dataclass(frozen=True)
class Difference:
    """A query on which two models differ.

    Attributes:
        index: of the query among those of a result.
        query: under the first run of the first model.
        first: the rank of its best match under the first model, from 1; of several seeds the geometric mean.
        second: under the other model.
    """

    index: int
    query: Query
    first: float
    second: float


@dataclass(frozen=True)
class Differences:
    """What two models find, and where they differ.

    Attributes:
        only_first: how many queries have a match in the first place under the first model only, by direction; of
            several seeds, the sum of what the share of its seeds exceeds that of the other's.
        only_second: likewise.
        better: the queries that gain most by the second model, those with the greatest ratio of ranks first.
        worse: those that lose most.
    """

    only_first: dict[str, float]
    only_second: dict[str, float]
    better: Sequence[Difference]
    worse: Sequence[Difference]


def find_differences(first: Group, second: Group, most: int = 10) -> Differences:
    """Find the queries on which two groups of results differ most.

    Args:
        first: what the other is compared with.
        second: on the same queries.
        most: how many to list of each kind.
    """
    queries = first.results[0].queries
    ranks = first.ranks, second.ranks
    shares = [np.mean([result.ranks < 2 for result in group.results], axis=0) for group in (first, second)]
    change = np.log(ranks[0]) - np.log(ranks[1])
    directions = np.array([query.direction for query in queries])

    def list_changes(order: np.ndarray, sign: int) -> list[Difference]:
        chosen = [index for index in order[:most].tolist() if sign * change[index] > 0]
        return [Difference(index, queries[index], *(float(rank[index]) for rank in ranks)) for index in chosen]

    def sum_gains(gains: np.ndarray) -> dict[str, float]:
        return {name: float(gains[directions == name].clip(min=0).sum()) for name in ("i2t", "t2i")}

    return Differences(
        sum_gains(shares[0] - shares[1]),
        sum_gains(shares[1] - shares[0]),
        list_changes(np.argsort(-change, kind="stable"), 1),
        list_changes(np.argsort(change, kind="stable"), -1),
    )


def describe(query: Query) -> str:
    """Return the caption with its id, or the id of the image."""
    return f"“{query.text}” ({query.id})" if query.text else query.id
