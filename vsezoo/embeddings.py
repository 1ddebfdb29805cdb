"""What encoders return: a vector of each input and, where that is asked for, the set behind the vector."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, init=False)
class Embeddings:
    """The joint embeddings of B images or captions, with their regions or words.

    `embeddings[2:5]` and `embeddings[indices]` are those of some inputs, `len(embeddings)` is B.

    Attributes:
        embeddings: `(B, D)`.
        items: `(B, K, D')`, the regions or words of each input, padded at the end; None: not kept.
        lengths: `(B,)` int64, how many of its K items each input has, 1 or more; None: all have K. On the device of the
            embeddings, wherever they come from.
    """

    embeddings: Tensor
    items: Tensor | None
    lengths: Tensor | None

    def __init__(
        self,
        embeddings: Tensor,
        items: Tensor | None = None,
        lengths: Tensor | None = None,
        *,
        regions: Tensor | None = None,  # what `items` was called in `ImageOutput`
    ) -> None:
        values = {
            "embeddings": embeddings,
            "items": items if regions is None else regions,
            "lengths": None if lengths is None else lengths.to(embeddings.device, non_blocking=True),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, output: Tensor | Embeddings) -> Embeddings:
        """Return what an encoder returned; a tensor is the vectors alone."""
        return cls(output) if isinstance(output, Tensor) else output

    @classmethod
    def cat(cls, parts: Sequence[Embeddings]) -> Embeddings:
        """Join one or more batches, whose largest sets may have different sizes."""
        embeddings = torch.cat([part.embeddings for part in parts])
        if any(part.items is None for part in parts):
            return cls(embeddings)
        size = max(part.size for part in parts)
        parts = [part.pad(size) for part in parts]
        lengths = None if all(part.lengths is None for part in parts) else torch.cat([part.counts for part in parts])
        return cls(embeddings, torch.cat([part.regions for part in parts]), lengths)

    def __len__(self) -> int:
        """Return B."""
        return len(self.embeddings)

    def __getitem__(self, rows: slice | Tensor) -> Embeddings:
        """Return those of some inputs."""
        items, lengths = (None if part is None else part[rows] for part in (self.items, self.lengths))
        return Embeddings(self.embeddings[rows], items, lengths)

    @property
    def regions(self) -> Tensor:
        """The items, where they are known to be there."""
        assert self.items is not None, "these embeddings have no items"
        return self.items

    @property
    def size(self) -> int:
        """K, the size of the largest set."""
        return self.regions.shape[1]

    @property
    def counts(self) -> Tensor:
        """How many items each input has, `(B,)` int64, also where all have K."""
        if self.lengths is not None:
            return self.lengths
        return torch.full((len(self),), self.size, device=self.embeddings.device)

    @property
    def mask(self) -> Tensor:
        """Which items are there, `(B, K)` bool; the others are padding."""
        return torch.arange(self.size, device=self.embeddings.device) < self.counts[:, None]

    def map(self, change: Callable[[Tensor], Tensor]) -> Embeddings:
        """Return the same with vectors and items changed."""
        return Embeddings(change(self.embeddings), None if self.items is None else change(self.items), self.lengths)

    def pad(self, size: int) -> Embeddings:
        """Return the same with sets of this size, if they are smaller; zeros fill them up."""
        if size <= self.size:
            return self
        items = functional.pad(self.regions, (0, 0, 0, size - self.size))
        return Embeddings(self.embeddings, items, self.counts)


ImageOutput = Embeddings
"""The name from when only images had sets: `ImageOutput(embeddings, regions)`."""


def score_tiles(score: Callable[[Any, Any], Tensor], images: Any, texts: Any, tile: int) -> Tensor:
    """Return the scores `(N, M)`, computed for so many pairs at a time, or fewer.

    Args:
        score: the scores of some images and texts.
        images: a tensor or `Embeddings` of N.
        texts: the same of M.
        tile: the largest number of pairs.
    """
    if len(images) * len(texts) <= tile:
        return score(images, texts)
    height = min(len(images), math.isqrt(tile))
    rows = [images[part] for part in cut_evenly(len(images), height)]
    columns = [texts[part] for part in cut_evenly(len(texts), tile // height)]
    return torch.cat([torch.cat([score(row, column) for column in columns], dim=1) for row in rows])


def cut_evenly(count: int, size: int) -> list[slice]:
    """Cut rows into parts of nearly equal length, at most `size`.

    A product with very few vectors runs in another kernel, in which equal vectors may get scores that differ in the
    last bit.
    """
    parts = -(-count // size)
    bounds = [count * part // parts for part in range(parts + 1)]
    return list(map(slice, bounds[:-1], bounds[1:]))
