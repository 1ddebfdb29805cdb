"""Search backends: find the rows of embeddings with the highest scores for a query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vsezoo.errors import UsageError, VsezooError
from vsezoo.interfaces import Similarity

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


class ExactRows(NearestRows):
    """Scores every row, block by block; supports every similarity.

    Raises:
        VsezooError: for NaN scores.
    """

    def __init__(self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> None:
        self._rows, self._similarity, self._side = rows, similarity, side

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their row numbers; see `NearestRows.find`."""
        count = len(queries)
        if count == 1:
            # A product with a single vector can sum some rows in a different order: equal rows would get different
            # scores.
            queries = queries.expand(2, -1)
        best = torch.empty(count, 0, device=queries.device)
        places = torch.empty(count, 0, dtype=torch.int64, device=queries.device)
        for start in range(0, len(self._rows), BLOCK):
            block = self._rows[start : start + BLOCK].to(queries.device)
            if self._side == "texts":
                scores = self._similarity(queries, block)[:count]
            else:
                scores = self._similarity(block, queries).T[:count]
            if scores.isnan().any():
                raise VsezooError(
                    "Some scores are not a number (NaN).",
                    remedy="Evaluate the model with `vsezoo eval`: its training may have diverged.",
                )
            numbers = torch.arange(start, start + len(block), device=queries.device).expand(count, -1)
            scores, numbers = torch.cat([best, scores], dim=1), torch.cat([places, numbers], dim=1)
            order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]  # ties are in row order
            best, places = scores.gather(1, order), numbers.gather(1, order)
        return best, places


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
