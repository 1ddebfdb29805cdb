"""Checks of search indexes: the rows that `exact` finds, or most of them, with their scores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.interfaces import Similarity
from vsezoo.search.indexes import INNER_PRODUCT, ExactRows, NearestRows
from vsezoo.similarities import CosineSimilarity
from vsezoo.testing.kit import Kit, promise, require, require_equal

WIDTH = 16
SIDES: tuple[Literal["images", "texts"], ...] = ("images", "texts")


class Found(NamedTuple):
    """The results of an index, those of `exact`, and all scores `(Q, n)`."""

    name: str
    scores: Tensor
    numbers: Tensor
    expected_scores: Tensor
    expected_numbers: Tensor
    every: Tensor


class Lopsided(Similarity):
    """Asymmetric in images and texts, and not an inner product."""

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores `(N, M)`."""
        return -(images[:, None] - texts[None]).clamp(min=0).sum(dim=-1)


@dataclass
class IndexKit(Kit):
    """The checks of search indexes.

    Attributes:
        recall: the share of the ten best of 500 random rows that it must find; an exact index finds all.
    """

    recall: float = 1.0

    def _find(self, rows: Tensor, queries: Tensor, k: int) -> Iterator[Found]:
        """Search both sides by each similarity that the index takes, with the index and exactly."""
        index: type[NearestRows] = self.subject.thing
        similarities = [CosineSimilarity()] if index.metric == INNER_PRODUCT else [CosineSimilarity(), Lopsided()]
        for similarity, side in product(similarities, SIDES):
            with torch.inference_mode():
                found = index(rows, similarity, side).find(queries, k)
                expected = ExactRows(rows, similarity, side).find(queries, k)
                pair = (rows, queries) if side == "images" else (queries, rows)
                every = similarity(*pair)
            name = f"{side} by {type(similarity).__name__}"
            yield Found(name, *found, *expected, every.T if side == "images" else every)

    @promise(
        "construction",
        "Take rows, similarity and side; set metric to 'any' or 'inner_product'.",
    )
    def check_construction(self) -> None:
        """It is built from rows, a similarity and a side, and declares which similarities it supports."""
        index: type[NearestRows] = self.subject.thing
        require(index.metric in ("any", INNER_PRODUCT), f"metric is {index.metric!r}")
        for side in SIDES:
            index(_draw(3), CosineSimilarity(), side)

    @promise(
        "scores",
        "Return the similarity's own scores, sorted, and int64 row numbers.",
    )
    def check_scores(self) -> None:
        """It returns scores and distinct rows (Q, k), best first; the scores are those of the similarity."""
        rows, queries = _draw(40), _draw(3, seed=1)
        for found in self._find(rows, queries, 5):
            scores, numbers = found.scores, found.numbers
            shapes = f"the shapes {tuple(scores.shape)} and {tuple(numbers.shape)} for 3 queries and k = 5"
            require(scores.shape == numbers.shape == (3, 5), f"{found.name}: {shapes}")
            require(numbers.dtype == torch.int64, f"{found.name}: row numbers of dtype {numbers.dtype}")
            sorted_ = bool((scores[:, 1:] <= scores[:, :-1]).all())
            require(sorted_, f"{found.name}: scores are not sorted: {scores.tolist()}")
            different = all(len(set(row)) == 5 for row in numbers.tolist())
            require(different, f"{found.name}: duplicate rows: {numbers.tolist()}")
            require_equal(scores, found.every.gather(1, numbers), f"scores of {found.name}", 1e-4)

    @promise(
        "nearest",
        "Search more of the index, or declare its recall with the setting recall=0.9.",
    )
    def check_nearest(self) -> None:
        """It finds the rows that `exact` finds, or at least the share of them given by the setting `recall`."""
        for found in self._find(_draw(500), _draw(20, seed=1), 10):
            pairs = zip(found.numbers.tolist(), found.expected_numbers.tolist(), strict=True)
            share = sum(len({*own} & {*best}) for own, best in pairs) / found.numbers.numel()
            require(share >= self.recall, f"a recall of {share:.2f} for {found.name}, below {self.recall:.2f}")

    @promise(
        "ties",
        "Sort by score, then by row number: scores.sort(descending=True, stable=True) on rows in order.",
    )
    def check_ties(self) -> None:
        """Equal rows are sorted by number; if all rows are requested, it returns all of them."""
        rows = _draw(4).repeat(3, 1)
        for found in self._find(rows, _draw(2, seed=1), 12):
            came, expected = found.numbers.tolist(), found.expected_numbers.tolist()
            require(came == expected, f"{found.name}: rows {came} of three times four equal ones, not {expected}")

    @promise(
        "alone",
        "Compute one query like several.",
    )
    def check_alone(self) -> None:
        """A query finds the same alone and among others, and the rows are not changed."""
        rows, queries = _draw(60), _draw(4, seed=1)
        before = rows.clone()
        for one, many in zip(self._find(rows, queries[:1], 3), self._find(rows, queries, 3), strict=True):
            require_equal(one.scores, many.scores[:1], f"scores of a single query, {one.name}", 1e-4)
        require(torch.equal(rows, before), "the rows were changed")


def _draw(count: int, seed: int = 0) -> Tensor:
    drawn = torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(seed))
    return functional.normalize(drawn, dim=1)
