"""The index `ivf`: looks at the cells nearest to a query, and scores what is found there again, exactly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from torch import Tensor

from vsezoo.interfaces import Similarity
from vsezoo.search.backends.candidates import CandidateRows
from vsezoo.search.backends.cells import Cells, make_cells, open_cells
from vsezoo.search.collection import Array
from vsezoo.search.indexes import Rows
from vsezoo.search.recall import choose_least, draw_rows, find_best, measure_recall
from vsezoo.similarities import CosineSimilarity

LEAST = 10_000
"""Below so many rows all are scored."""
LATE = 0.05
"""Share of rows next to the cells, added later or removed, from which on the cells are made anew."""
HARD = 0.1
"""Share of the cells from which on a search may take as long as an exact one."""
QUERIES = 400
"""Rows that are queries when the number of cells is chosen: one half to choose it, the other to measure."""
MARGIN = 0.2
"""Share of the rest that the chosen number of cells finds beyond the wanted recall: other queries may find less."""
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


class CellRows(CandidateRows):
    """Inner products with the rows of the cells nearest to a query.

    Rows that were added after the cells were made are scored one and all, until they are too many.

    Args:
        rows: as for `NearestRows`; the cells are made in memory.
        similarity: the similarity of the model.
        side: what the rows are.
    """

    options = ("recall", "queries")

    def __init__(self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> None:
        cells = make_cells(Rows(rows, None)) if len(rows) >= LEAST else None
        self._set(Rows(rows, None), len(rows), similarity, side)
        self._set_cells(cells)
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
        index._set(rows, indexed, similarity, side)
        index._set_cells(cells, probes)
        return index

    def _set_cells(self, cells: Cells | None, probes: int = 1) -> None:
        self._cells, self.probes = cells, probes

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their row numbers; see `NearestRows.find`."""
        return self._all.find(queries, k) if self._cells is None else super().find(queries, k)

    def _fetch(self, queries: Tensor, count: int, wider: int) -> tuple[Array, Array] | None:
        assert self._cells is not None
        return self._cells.find(queries, count, self.probes * wider)

    def choose_probes(self, queries: Tensor, own: Tensor | None, recall: float) -> tuple[int, float]:
        """Return how many cells find so much, and how much they find of other queries.

        Args:
            queries: `(Q, D)`; one half chooses, the other measures.
            own: the rows that are the queries, `(Q,)`; None: they are not rows.
            recall: the wanted share of the ten nearest rows.
        """
        assert self._cells is not None

        half = len(queries) // 2
        parts = (slice(half), slice(half, None)) if half >= FEW else (slice(None), slice(None))
        best = find_best(self._all, queries, RECALL_K, own)

        def measure(probes: int, part: slice) -> float:
            self.probes = probes
            return measure_recall(self, queries[part], best[part], are_rows=own is not None)

        wanted = recall + MARGIN * (1 - recall)
        chosen = choose_least(self._cells.count, lambda probes: measure(probes, parts[0]) >= wanted)
        return chosen, measure(chosen, parts[1])


def _is_recent(state: CellState, rows: Rows) -> bool:
    """Return whether few rows were added or removed since the cells were made."""
    alive = state.indexed if rows.alive is None else int(rows.alive[: state.indexed].sum())
    changed = (len(rows.vectors) - state.indexed) + (state.alive - alive)
    return changed <= LATE * state.indexed


def _draw_queries(rows: Rows) -> tuple[Tensor, Tensor]:
    own = draw_rows(rows, QUERIES)
    return rows.vectors[own].float(), own
