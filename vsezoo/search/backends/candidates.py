"""What backends have in common that find candidates approximately: these are scored again, exactly."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from vsezoo.interfaces import Similarity
from vsezoo.search.collection import Array
from vsezoo.search.indexes import INNER_PRODUCT, ExactRows, KeptRows, Rows

SPARE, FACTOR = 32, 2
"""`FACTOR * k + SPARE` candidates are scored again for `k` results."""
MOST = 0.05
"""With a `k` above this share of the rows all are scored."""
TOLERANCE = 2**-11
"""Error of a score of float16 rows, relative to it."""


class CandidateRows(KeptRows):
    """Inner products with candidates; scores are those of the similarity, and ties are as in `ExactRows`.

    Rows from `indexed` on, which a subclass does not find, are scored one and all.
    """

    metric = INNER_PRODUCT

    def _set(self, rows: Rows, indexed: int, similarity: Similarity, side: Literal["images", "texts"]) -> None:
        self._rows, self._indexed, self._similarity, self._side = rows, indexed, similarity, side
        self._count = rows.count
        self._all = ExactRows(rows.vectors, similarity, side, rows.alive)
        self._late = Rows(rows.vectors[indexed:], None if rows.alive is None else rows.alive[indexed:])
        self._exact_late = ExactRows(self._late.vectors, similarity, side, self._late.alive)

    @abstractmethod
    def _fetch(self, queries: Tensor, count: int, wider: int) -> tuple[Array, Array] | None:
        """Return approximate inner products and numbers of rows that may be found, `(Q, count)`, the best first.

        The number is -1 where there are no more rows.

        Args:
            queries: `(Q, D)`.
            count: number of candidates.
            wider: 1, and then 2, 4, 8, … if too few were found: how much more of the index to look at.

        Returns:
            None: it cannot look at more.
        """

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their row numbers; see `NearestRows.find`."""
        if k > MOST * self._count:
            return self._all.find(queries, k)
        late: list[list[int]] = [[]] * len(queries)
        if self._late.count:
            late = (self._exact_late.find(queries, min(k, self._late.count))[1] + self._indexed).tolist()
        best, places = queries.new_empty(len(queries), k), torch.empty(len(queries), k, dtype=torch.int64)
        unfinished, wanted, wider = list(range(len(queries))), FACTOR * k + SPARE, 1
        while unfinished:
            fetched = self._fetch(queries[unfinished], wanted, wider)
            if fetched is None:
                scores, numbers = self._all.find(queries[unfinished], k)
                best[unfinished], places[unfinished] = scores, numbers.cpu()
                break
            left, are_few = [], False
            for query, products, found in zip(unfinished, *fetched, strict=True):
                candidates = np.union1d(found[found >= 0], np.array(late[query], np.int64))
                is_short = len(candidates) < k
                if not is_short:
                    best[query], places[query] = self._score(queries[query : query + 1], candidates, k)
                if is_short or _is_cut(products, found, float(best[query, -1])):
                    left.append(query)
                are_few |= is_short
            unfinished, wanted = left, min(4 * wanted, len(self._rows.vectors))
            wider = 2 * wider if are_few else wider
        return best, places.to(queries.device)

    def _score(self, query: Tensor, candidates: np.ndarray[Any, Any], k: int) -> tuple[Tensor, Tensor]:
        """Return the best of the candidates, which are in order, by the similarity."""
        numbers = torch.from_numpy(candidates)
        scores, places = ExactRows(self._rows.read(numbers), self._similarity, self._side).find(query, k)
        return scores[0], numbers[places[0].cpu()]


def _is_cut(products: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any], worst: float) -> bool:
    """Return whether rows that were not fetched may score as high as the worst result, or equal it."""
    return bool(numbers[-1] >= 0) and float(products[-1]) + abs(float(products[-1])) * TOLERANCE >= worst
