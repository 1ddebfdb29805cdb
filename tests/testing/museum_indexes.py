"""Broken search indexes, each made from the exact one."""

from __future__ import annotations

from typing import Any

import torch
from museum import exhibit
from torch import Tensor

from vsezoo.search.indexes import ExactRows, NearestRows


@exhibit()
class Sound(ExactRows):
    """Nothing is wrong."""


@exhibit()
class InnerProducts(NearestRows):
    """Nothing is wrong: it goes with inner products only."""

    metric = "inner_product"

    def __init__(self, rows: Tensor, similarity: Any, side: str) -> None:
        self.rows = rows

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, numbers = torch.sort(queries @ self.rows.T, dim=1, descending=True, stable=True)
        return scores[:, :k], numbers[:, :k]


@exhibit("nearest", "ties")
class ForgetsTheSecond(ExactRows):
    """Gives the row after the k-th for the second."""

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, numbers = super().find(queries, min(k + 1, len(self._rows)))
        kept = [0, *range(2, k + 1)] if k < len(self._rows) else [0, *range(2, k), 1]
        return scores[:, kept].sort(dim=1, descending=True).values, numbers[:, kept]


@exhibit(recall=0.8)
class Forgets(ExactRows):
    """Nothing is wrong with an approximate index that says so: it does not look at every tenth row of many."""

    def __init__(self, rows: Tensor, similarity: Any, side: Any) -> None:
        self.kept = torch.arange(len(rows))
        if len(rows) >= 100:
            self.kept = self.kept[self.kept % 10 != 0]
        super().__init__(rows[self.kept], similarity, side)

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, numbers = super().find(queries, k)
        return scores, self.kept[numbers]


@exhibit("scores", "alone")
class HalvesScores(ExactRows):
    """Scores hang on how many queries there are."""

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, numbers = super().find(queries, k)
        return scores / len(queries), numbers


@exhibit("ties")
class LastComesFirst(ExactRows):
    """Of equal rows, the last comes first."""

    def __init__(self, rows: Tensor, similarity: Any, side: Any) -> None:
        super().__init__(rows.flip(0), similarity, side)

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        scores, numbers = super().find(queries, k)
        return scores, len(self._rows) - 1 - numbers


@exhibit("construction")
class OtherMetric(ExactRows):
    """There is no such metric."""

    metric = "cosine"
