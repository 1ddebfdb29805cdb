"""What a report shows of the queries of an evaluation: recall by K, ranks, margins, confused captions."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vsezoo.evaluation.predictions import Query

DIRECTIONS = ("i2t", "t2i")
BINS = ((1, 1), (2, 5), (6, 10), (11, 50), (51, 100), (101, 500), (501, 0))
"""First and last rank of the bars of the histogram; 0: no last one."""
CURVE = (*range(1, 11), 15, 20, 30, 40, 50, 70, 100)
"""The K of the recall curves."""
GROUPS = 10
"""Groups of queries by margin."""
ALIKE = 0.5
"""Share of words from which on two captions are near-duplicates: a caption that says half of the same."""


def split_directions(queries: Iterable[Query]) -> dict[str, list[Query]]:
    """Return the queries of each direction, in their order."""
    found: dict[str, list[Query]] = {way: [] for way in DIRECTIONS}
    for query in queries:
        found[query.direction].append(query)
    return found


def measure_curve(queries: Sequence[Query]) -> list[tuple[float, float]]:
    """Return K and R@K in percent, for each K of `CURVE`."""
    return [(k, 100 * sum(query.rank < k + 1 for query in queries) / len(queries)) for k in CURVE]


def count_ranks(queries: Sequence[Query]) -> list[float]:
    """Return the share of the queries in percent whose best match is in each of `BINS`; they add up to 100."""
    shares = []
    for first, last in BINS:
        upper = last + 1 if last else float("inf")
        shares.append(100 * sum(first <= query.rank < upper for query in queries) / len(queries))
    return shares


@dataclass(frozen=True)
class Margins:
    """Queries with about the same margin between their first and second candidate.

    Attributes:
        low: least margin.
        high: greatest.
        count: how many queries.
        right: percent of them whose first candidate is a match.
    """

    low: float
    high: float
    count: int
    right: float


def group_margins(queries: Sequence[Query]) -> list[Margins]:
    """Return groups of about equally many queries, by ascending margin; empty if fewer than two candidates are known.

    A margin says whether a first place can be trusted if the groups with greater margins are right more often.
    """
    known = sorted(
        (query.scores[0] - query.scores[1], query.top[0] in query.matches) for query in queries if len(query.top) > 1
    )
    groups = []
    for number in range(GROUPS):
        group = known[len(known) * number // GROUPS : len(known) * (number + 1) // GROUPS]
        if group:
            right = 100 * sum(hit for _, hit in group) / len(group)
            groups.append(Margins(group[0][0], group[-1][0], len(group), right))
    return groups


def find_extremes(queries: Sequence[Query], most: int) -> tuple[list[Query], list[Query]]:
    """Return the best queries, those in the first place with the greatest margin, and the worst, by rank."""

    def measure_margin(query: Query) -> float:
        return query.scores[0] - query.scores[1] if len(query.scores) > 1 else 0.0

    best = sorted((query for query in queries if query.rank == 1), key=measure_margin, reverse=True)
    worst = sorted((query for query in queries if query.rank > 1), key=lambda query: query.rank, reverse=True)
    return best[:most], worst[:most]


@dataclass(frozen=True)
class Confusion:
    """A query whose first candidate is wrong, and a caption of that image that is nearly the same as the right one.

    Attributes:
        query: the query.
        right: the caption of its own.
        wrong: the caption of the image that came first.
        share: of the words of both, the share that both have, from 0 to 1.
    """

    query: Query
    right: str
    wrong: str
    share: float


def find_confusions(queries: Sequence[Query], captions: Mapping[str, str]) -> list[Confusion]:
    """Return what is confused, the most alike first: queries whose first candidate is wrong.

    From text to image, the query is compared with all captions of the image that came first; from image to text, the
    caption that came first with all captions of the image. The share is the Jaccard index of the sets of words.

    Args:
        queries: of one direction.
        captions: of the split by id, as `Query` has them.
    """
    words = {name: frozenset(re.findall(r"\w+", text.lower())) for name, text in captions.items()}
    of_image: dict[str, list[str]] = defaultdict(list)
    for name in captions:
        of_image[name.rpartition("#")[0]].append(name)
    found = []
    for query in queries:
        if not query.top or query.top[0] in query.matches:
            continue
        if query.direction == "t2i":
            pairs = [(query.id, other) for other in of_image[query.top[0]]]
        else:
            pairs = [(own, query.top[0]) for own in of_image[query.id]]
        if pairs:
            right, wrong = max(pairs, key=lambda pair: _share(words[pair[0]], words[pair[1]]))
            share = _share(words[right], words[wrong])
            found.append(Confusion(query, captions[right], captions[wrong], share))
    return sorted(found, key=lambda confusion: confusion.share, reverse=True)


def _share(first: frozenset[str], second: frozenset[str]) -> float:
    together = first | second
    return len(first & second) / len(together) if together else 1.0
