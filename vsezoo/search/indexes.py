"""Search backends: find the rows of embeddings with the highest scores for a query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from vsezoo.errors import UsageError, VsezooError
from vsezoo.interfaces import Similarity
from vsezoo.search.rows import Rows as Rows

BLOCK = 8192
"""Number of rows that are compared with the queries at a time."""

INNER_PRODUCT = "inner_product"


class NearestRows(ABC):
    """Finds the rows with the highest scores of a similarity. Subclasses are registered in the group `vsezoo.indexes`.

    An instance is built at the first search of an opened collection, and kept as long as it is open.

    Args:
        rows: `(n, D)` float32 in main memory, mapped from a file and read-only: the embeddings of the collection.
        similarity: the similarity of the model, in eval mode.
        side: "images" if the rows are images, searched with texts; "texts" if they are texts, searched with images.
    """

    metric: ClassVar[str] = "any"
    """"inner_product": finds the largest inner products, so it only supports similarities that declare themselves to be
    one (`Similarity.metric`). "any": it calls the similarity."""

    @abstractmethod
    def __init__(self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> None: ...

    @abstractmethod
    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their row numbers.

        Args:
            queries: `(Q, D)` on the device of the model, at least one.
            k: number of results, from 1 to `n`.

        Returns:
            scores `(Q, k)` of the similarity, highest first; and the int64 row numbers `(Q, k)`. Of equal scores, the
            lower row number comes first. An approximate index may miss some of the best rows.
        """


class KeptRows(NearestRows):
    """A backend that keeps something in an index folder, or on a server, which is made once and then opened.

    One that does not is constructed when an index folder is opened.

    Attributes:
        options: names of the options that it takes.
    """

    options: ClassVar[Sequence[str]] = ()

    @classmethod
    @abstractmethod
    def keep(
        cls, folder: Path, rows: Rows, generation: int, options: Mapping[str, Any], state: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Make or update what finds the rows, before the index folder is switched to them.

        Earlier files must stay as they are: other processes search with them, and the change may never be completed.
        Files that are not listed in `files` of the returned state are removed afterwards.

        Args:
            folder: the index folder.
            rows: all rows. Unless the last state is empty, those that there were then are still the first.
            generation: number of the change, for the names of new files.
            options: what the user chose.
            state: what was returned last; empty at first.

        Returns:
            JSON for `open`.
        """

    @classmethod
    @abstractmethod
    def open(
        cls,
        folder: Path,
        rows: Rows,
        state: Mapping[str, Any],
        similarity: Similarity,
        side: Literal["images", "texts"],
    ) -> NearestRows:
        """Open what `keep` has made.

        Args:
            folder: the index folder.
            rows: its rows.
            state: what `keep` returned for them.
            similarity: the similarity of the model.
            side: what the rows are.
        """

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
        """Return the state with which a search finds as much of what an exact one does as the user wants.

        Args:
            folder: the index folder.
            rows: its rows.
            state: what `keep` returned for them.
            queries: `(Q, D)`.
            own: the rows that are the queries, `(Q,)`; None: the queries are sentences, or pictures.
            options: what the user chose; `recall` is the wanted share of the nearest rows.

        Raises:
            UsageError: for a backend that has nothing to choose.
        """
        raise UsageError("This index does not choose its recall.", remedy="Leave --recall out, or build it with ivf.")

    @classmethod
    def advise(cls, options: Mapping[str, Any], state: Mapping[str, Any]) -> str:
        """Return what the user should know about an index: that it finds less than was asked for; else empty."""
        return ""


class ExactRows(NearestRows):
    """Scores every row, block by block; supports every similarity.

    Args:
        rows: as for `NearestRows`; float16 as well, which becomes float32 block by block.
        similarity: the similarity of the model.
        side: what the rows are.
        alive: which rows may be found, `(n,)` bool; None: all.

    Raises:
        VsezooError: for NaN scores.
    """

    def __init__(
        self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"], alive: Tensor | None = None
    ) -> None:
        self._rows, self._similarity, self._side, self._alive = rows, similarity, side, alive

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their row numbers; see `NearestRows.find`."""
        count = len(queries)
        queries = pad_queries(queries)
        best = queries.new_empty(count, 0)
        places = torch.empty(count, 0, dtype=torch.int64, device=queries.device)
        limits = queries.new_full((count,), -torch.inf)
        for start in range(0, len(self._rows), BLOCK):
            scores = self._score(start, queries)[:, :count]
            highest = scores.amax(dim=0)
            if highest.isnan().any():
                raise VsezooError(
                    "Some scores are not a number (NaN).",
                    remedy="Evaluate the model with `vsezoo eval`: its training may have diverged.",
                )
            better = (highest > limits).nonzero().flatten()
            if best.shape[1] < k:
                better = torch.arange(count, device=queries.device)
            elif not len(better):
                continue
            best, places = _merge(best, places, scores.T, limits, better, start, k)
            if best.shape[1] == k:
                limits = best[:, -1]
        return best, places

    def _score(self, start: int, queries: Tensor) -> Tensor:
        """Return the scores of a block of rows, `(rows, Q)`; minus infinity for those that may not be found."""
        block = self._rows[start : start + BLOCK].to(queries.device, queries.dtype)
        is_texts = self._side == "texts"
        scores: Tensor = self._similarity(queries, block).T if is_texts else self._similarity(block, queries)
        if self._alive is not None:
            alive = self._alive[start : start + BLOCK]
            scores = scores if alive.all() else scores.masked_fill(~alive.to(scores.device)[:, None], -torch.inf)
        return scores


def pad_queries(queries: Tensor) -> Tensor:
    """Return the queries, a single one twice: equal rows get equal scores then.

    A product with a single vector can sum some rows in a different order, and takes longer than one with two. The copy
    is one in memory: a product with an expanded vector takes three times as long.
    """
    return queries.repeat(2, 1) if len(queries) == 1 else queries


def _merge(
    best: Tensor, places: Tensor, scores: Tensor, limits: Tensor, better: Tensor, start: int, k: int
) -> tuple[Tensor, Tensor]:
    """Return the best scores and their rows with those of a block, for the queries that it improves.

    Only the scores above the limit of their query are sorted: sorting all takes longer than computing them.

    Args:
        best: scores so far, `(Q, up to k)`.
        places: their row numbers.
        scores: of the block, `(Q, rows)`.
        limits: scores `(Q,)` that are not improved by equal ones, which have higher row numbers.
        better: numbers of the queries.
        start: first row of the block.
        k: number of results.
    """
    scores = scores[better]
    if best.shape[1] < k:  # nothing to beat yet: whatever is among the best of the block, all of equal ones
        least = scores.topk(min(k, scores.shape[1]), dim=1).values[:, -1:]
        most = int((scores >= least).sum(dim=1).max())
    else:
        most = int((scores > limits[better, None]).sum(dim=1).max())
    columns = scores.topk(most, dim=1, sorted=False).indices.sort(dim=1).values
    joined = torch.cat([best[better], scores.gather(1, columns)], dim=1)
    numbers = torch.cat([places[better], columns + start], dim=1)
    order = joined.sort(dim=1, descending=True, stable=True).indices[:, :k]  # ties are in row order
    if len(better) == len(best):
        return joined.gather(1, order), numbers.gather(1, order)
    best, places = best.clone(), places.clone()
    best[better], places[better] = joined.gather(1, order), numbers.gather(1, order)
    return best, places


def require_options(name: str, index: type[NearestRows], options: Mapping[str, Any]) -> None:
    """Refuse options that an index does not have.

    Raises:
        UsageError: names one.
    """
    known = index.options if issubclass(index, KeptRows) else ()
    for option in options:
        if option not in known:
            has = f"It has {', '.join(known)}." if known else "It has none."
            raise UsageError(f"The index {name!r} has no option {option!r}.", remedy=has)


def require_metric(name: str, index: type[NearestRows], similarity_name: str, similarity: type[Similarity]) -> None:
    """Refuse an index that does not support a similarity.

    Args:
        name: name of the index.
        index: its class.
        similarity_name: name of the similarity.
        similarity: its class.

    Raises:
        UsageError: for an index of inner products and a similarity that does not declare itself to be one.
    """
    if index.metric == INNER_PRODUCT and getattr(similarity, "metric", "") != INNER_PRODUCT:
        raise UsageError(
            f"The index {name!r} finds inner products, but the similarity {similarity_name!r} does not declare "
            "itself to be one.",
            remedy="Use the index 'exact', which works with every similarity.",
        )
