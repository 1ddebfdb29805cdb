"""Search backends: which rows of embeddings score highest against a query."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor

from vsezoo.errors import UsageError, VsezooError
from vsezoo.interfaces import Similarity

BLOCK = 8192
"""Rows that are compared with the queries at a time."""

INNER_PRODUCT = "inner_product"


class NearestRows(ABC):
    """Finds the rows that a similarity scores highest. A subclass is registered in the group `vsezoo.indexes`.

    It is built when a collection is first searched, and lives as long as the opened collection.

    Args:
        rows: `(n, D)` float32 in main memory, mapped from a file: the embeddings of the collection. To be read only.
        similarity: of the model, in eval mode.
        side: what the rows are of: "images" are searched with texts, "texts" with images.
    """

    metric: ClassVar[str] = "any"
    """"inner_product": it finds the largest inner products, so it goes only with similarities that say that they are
    one (`Similarity.metric`). "any": it calls the similarity."""

    @abstractmethod
    def __init__(self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> None: ...

    @abstractmethod
    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their numbers.

        Args:
            queries: `(Q, D)` on the model's device, one or more.
            k: how many, from 1 to `n`.

        Returns:
            scores `(Q, k)` as the similarity gives them, the highest first; and the int64 numbers `(Q, k)` of the
            rows. Of equal scores, the lower number comes first. An approximate index may miss some of the best rows.
        """


class ExactRows(NearestRows):
    """Scores every row, block by block; works with every similarity.

    Raises:
        VsezooError: for scores that are not a number.
    """

    def __init__(self, rows: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> None:
        self._rows, self._similarity, self._side = rows, similarity, side

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their numbers; see `NearestRows.find`."""
        count = len(queries)
        if count == 1:
            # A product with a single vector adds up some rows in another order than others: equal rows would differ.
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
                    remedy="Look at the model's figures with `vsezoo eval`: its training may have diverged.",
                )
            numbers = torch.arange(start, start + len(block), device=queries.device).expand(count, -1)
            scores, numbers = torch.cat([best, scores], dim=1), torch.cat([places, numbers], dim=1)
            order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]  # of equals, the first stays first
            best, places = scores.gather(1, order), numbers.gather(1, order)
        return best, places


def require_metric(name: str, index: type[NearestRows], similarity_name: str, similarity: type[Similarity]) -> None:
    """Refuse an index that cannot search by a similarity.

    Args:
        name: of the index.
        index: the class.
        similarity_name: of the similarity.
        similarity: the class.

    Raises:
        UsageError: for an index of inner products, and a similarity that does not say that it is one.
    """
    if index.metric == INNER_PRODUCT and getattr(similarity, "metric", "") != INNER_PRODUCT:
        raise UsageError(
            f"The index {name!r} finds inner products, and the model's similarity {similarity_name!r} does not say "
            "that it is one.",
            remedy="Use the index 'exact', which works with every similarity.",
        )
