"""The index `ivf`: looks at the cells nearest to a query, and scores what is found there again, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from vsezoo.interfaces import Similarity
from vsezoo.search.backends.cells import Cells, make_cells, open_cells
from vsezoo.search.indexes import INNER_PRODUCT, ExactRows, KeptRows, Rows
from vsezoo.search.recall import choose_least, draw_rows, find_best, measure_recall
from vsezoo.similarities import CosineSimilarity

LEAST = 10_000
"""Below so many rows all are scored."""
LATE = 0.05
"""Share of rows beside the cells, added later or removed, from which on the cells are made anew."""
SPARE, FACTOR = 32, 2
"""`FACTOR * k + SPARE` candidates are scored again for `k` results."""
MOST = 0.05
"""With a `k` above this share of the rows all are scored."""
TOLERANCE = 2**-11
"""Error of a score of float16 rows, relative to it."""
HARD = 0.1
"""Share of the cells from which on a search may take as long as an exact one."""
QUERIES = 400
"""Rows that are queries when the number of cells is chosen: one half to choose it, the other to measure."""
FEW = 20
"""Below so many queries of a half, all of them do both."""
RECALL, RECALL_K = 0.95, 10


@dataclass(frozen=True)
class CellState:
    """What an index folder keeps of `ivf`.

    Attributes:
        files: the file of the cells.
        indexed: number of rows from the first on that are in them, or were removed before.
        alive: how many of them were in the cells when they were made.
        cells: number of cells.
        probes: number of cells that a search looks at.
        recall: share of the ten nearest rows that is found so.
        queries: what the recall was measured with: "items" or "sentences".
    """

    files: list[str]
    indexed: int
    alive: int
    cells: int
    probes: int
    recall: float
    queries: str = "items"


class CellRows(KeptRows):
    """Inner products with the rows of the cells nearest to a query.

    Scores are those of the similarity, and ties are as in `ExactRows`. Rows that were added after the cells were made
    are scored, too, until they are too many.

    Args:
        rows: as for `NearestRows`; the cells are made in memory.
        similarity: the similarity of the model.
        side: what the rows are.
    """

    metric = INNER_PRODUCT
    options = ("recall", "queries")

    def __init__(self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> None:
        cells = make_cells(Rows(rows, None)) if len(rows) >= LEAST else None
        self._set(Rows(rows, None), cells, len(rows), similarity, side)
        if cells is not None:
            self.probes = self.choose_probes(*_draw_queries(Rows(rows, None)), RECALL)[0]

    @classmethod
    def keep(
        cls, folder: Path, rows: Rows, generation: int, options: Mapping[str, Any], state: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Make the cells, unless most rows are in them already; see `KeptRows.keep`."""
        if rows.count < LEAST:
            return {}
        if state and _is_recent(CellState(**state), rows):
            return state
        made, file = make_cells(rows), f"{generation}.faiss"
        made.write(folder / file)
        total = len(rows.vectors)
        index = cls._assemble(rows, made, total, CosineSimilarity(), "images")
        probes, recall = index.choose_probes(*_draw_queries(rows), options.get("recall", RECALL))
        return vars(CellState([file], total, rows.count, made.count, probes, recall))

    @classmethod
    def open(
        cls,
        folder: Path,
        rows: Rows,
        state: Mapping[str, Any],
        similarity: Similarity,
        side: Literal["images", "texts"],
    ) -> Self:
        """Map the cells; see `KeptRows.open`."""
        if not state:
            return cls._assemble(rows, None, len(rows.vectors), similarity, side)
        kept = CellState(**state)
        alive = None if rows.alive is None else rows.alive[: kept.indexed]
        cells = open_cells(folder / kept.files[0], alive)
        return cls._assemble(rows, cells, kept.indexed, similarity, side, kept.probes)

    @classmethod
    def tune(
        cls,
        folder: Path,
        rows: Rows,
        state: Mapping[str, Any],
        queries: Tensor,
        own: Tensor | None,
        options: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Choose the number of cells that a search looks at; see `KeptRows.tune`."""
        if not state:
            return {}
        index = cls.open(folder, rows, state, CosineSimilarity(), "images")
        probes, found = index.choose_probes(queries, own, options.get("recall", RECALL))
        kind = "sentences" if own is None else "items"
        return vars(replace(CellState(**state), probes=probes, recall=found, queries=kind))

    @classmethod
    def advise(cls, options: Mapping[str, Any], state: Mapping[str, Any]) -> str:
        """Return a warning about a recall that is less than was asked for, or that takes as long as an exact search."""
        if not state:
            return ""
        kept, asked = CellState(**state), options.get("recall", RECALL)
        if kept.recall < asked:
            return (
                f"the index finds {kept.recall:.1%} of the nearest items ({kept.queries} being the queries), less than "
                f"the {asked:.1%} asked for: ask for more with --recall, or use the index 'exact'."
            )
        if kept.probes > HARD * kept.cells:
            return (
                f"to find {kept.recall:.1%} of the nearest items, a search looks at {kept.probes:,} of {kept.cells:,} "
                "cells: these items form no groups, and the index 'exact' may be as fast."
            )
        return ""

    @classmethod
    def _assemble(
        cls,
        rows: Rows,
        cells: Cells | None,
        indexed: int,
        similarity: Similarity,
        side: Literal["images", "texts"],
        probes: int = 1,
    ) -> Self:
        index = cls.__new__(cls)
        index._set(rows, cells, indexed, similarity, side, probes)
        return index

    def _set(
        self,
        rows: Rows,
        cells: Cells | None,
        indexed: int,
        similarity: Similarity,
        side: Literal["images", "texts"],
        probes: int = 1,
    ) -> None:
        self._rows, self._cells, self._count, self.probes = rows, cells, rows.count, probes
        self._similarity, self._side = similarity, side
        self._all = ExactRows(rows.vectors, similarity, side, rows.alive)
        late = Rows(rows.vectors[indexed:], None if rows.alive is None else rows.alive[indexed:])
        self._late, self._indexed = late, indexed
        self._exact_late = ExactRows(late.vectors, similarity, side, late.alive)

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their row numbers; see `NearestRows.find`."""
        if self._cells is None or k > MOST * self._count:
            return self._all.find(queries, k)
        late: list[list[int]] = [[]] * len(queries)
        if self._late.count:
            late = (self._exact_late.find(queries, min(k, self._late.count))[1] + self._indexed).tolist()
        best, places = queries.new_empty(len(queries), k), torch.empty(len(queries), k, dtype=torch.int64)
        unfinished, wanted, probes = list(range(len(queries))), FACTOR * k + SPARE, self.probes
        while unfinished:
            products, numbers = self._cells.find(queries[unfinished], wanted, probes)
            left = []
            for query, own, found in zip(unfinished, products, numbers, strict=True):
                candidates = np.union1d(found[found >= 0], np.array(late[query], np.int64))
                if len(candidates) >= k:
                    best[query], places[query] = self._score(queries[query : query + 1], candidates, k)
                if len(candidates) < k or _is_cut(own, found, float(best[query, -1])):
                    left.append(query)
            unfinished, wanted = left, min(4 * wanted, self._count)
            probes = 2 * probes if any(len(row[row >= 0]) < k for row in numbers) else probes
        return best, places.to(queries.device)

    def choose_probes(self, queries: Tensor, own: Tensor | None, recall: float) -> tuple[int, float]:
        """Return how many cells find so much, and how much they find of other queries.

        Args:
            queries: `(Q, D)`; one half chooses, the other measures.
            own: the rows that are the queries, `(Q,)`; None: they are no rows.
            recall: the wanted share of the ten nearest rows.
        """
        assert self._cells is not None

        half = len(queries) // 2
        parts = (slice(half), slice(half, None)) if half >= FEW else (slice(None), slice(None))
        best = find_best(self._all, queries, RECALL_K, own)

        def measure(probes: int, part: slice) -> float:
            self.probes = probes
            return measure_recall(self, queries[part], best[part], are_rows=own is not None)

        chosen = choose_least(self._cells.count, lambda probes: measure(probes, parts[0]) >= recall)
        return chosen, measure(chosen, parts[1])

    def _score(self, query: Tensor, candidates: np.ndarray[Any, Any], k: int) -> tuple[Tensor, Tensor]:
        """Return the best of the candidates, which are in order, by the similarity."""
        numbers = torch.from_numpy(candidates)
        scores, places = ExactRows(self._rows.vectors[numbers], self._similarity, self._side).find(query, k)
        return scores[0], numbers[places[0].cpu()]


def _is_cut(products: np.ndarray[Any, Any], numbers: np.ndarray[Any, Any], worst: float) -> bool:
    """Return whether rows that were not fetched may score as high as the worst result, or equal it."""
    return bool(numbers[-1] >= 0) and float(products[-1]) * (1 + TOLERANCE) >= worst


def _is_recent(state: CellState, rows: Rows) -> bool:
    """Return whether few rows were added or removed since the cells were made."""
    alive = state.indexed if rows.alive is None else int(rows.alive[: state.indexed].sum())
    changed = (len(rows.vectors) - state.indexed) + (state.alive - alive)
    return changed <= LATE * state.indexed


def _draw_queries(rows: Rows) -> tuple[Tensor, Tensor]:
    own = draw_rows(rows, QUERIES)
    return rows.vectors[own].float(), own
