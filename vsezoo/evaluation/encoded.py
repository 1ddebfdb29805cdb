"""An encoded split: a vector of each image and caption, and their items if the similarity compares sets."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.evaluation.scratch import ScratchArray
from vsezoo.interfaces import Similarity
from vsezoo.model import JointEmbedding


@dataclass(frozen=True)
class EncodedSide:
    """The images or the captions of a split.

    Padded to the longest, 25,000 captions would take several times as much memory as their words. So the items of all
    sets are concatenated, in main memory or in a temporary file.

    Attributes:
        vectors: `(N, D)`, on the model's device.
        items: `(V, D')` of all sets, not on the device; None: there are none.
        starts: `(N,)` int64, start of each row's set among the items.
        lengths: `(N,)` int64, size of each row's set.
    """

    vectors: Tensor
    items: Tensor | None = None
    starts: Tensor | None = None
    lengths: Tensor | None = None

    @classmethod
    def of(cls, side: Tensor | Embeddings | EncodedSide) -> EncodedSide:
        """Return vectors, or embeddings that fit in memory, as a side."""
        if isinstance(side, EncodedSide):
            return side
        embeddings = Embeddings.of(side)
        if embeddings.items is None:
            return cls(embeddings.embeddings)
        return cls.pack([(np.arange(len(embeddings)), embeddings)])

    @classmethod
    def pack(cls, batches: Iterable[tuple[np.ndarray, Embeddings]]) -> EncodedSide:
        """Return the side that consists of one or more batches.

        Args:
            batches: rows of the side, and their embeddings; each row is in one of them.

        Raises:
            StorageError: when there is no space for a temporary file.
        """
        rows, vectors, counts = [], [], []
        with closing(ScratchArray()) as packed:
            for indices, batch in batches:
                rows.append(torch.from_numpy(indices))
                vectors.append(batch.embeddings)
                if batch.items is not None:
                    packed.append(batch.items[batch.mask].float().cpu().numpy())
                    counts.append(batch.counts.cpu())
            order = torch.cat(rows).argsort()
            joined = torch.cat(vectors)[order.to(vectors[0].device)]
            if not counts:
                return cls(joined)
            items, lengths = torch.from_numpy(packed.finish()), torch.cat(counts)
            return cls(joined, items, (lengths.cumsum(0) - lengths)[order], lengths[order])

    def __len__(self) -> int:
        """Return N."""
        return len(self.vectors)

    def select(self, rows: slice | Tensor) -> EncodedSide:
        """Return some rows of the side, by slice, indices or `(N,)` bool; items are not copied."""
        if isinstance(rows, Tensor):
            rows = rows.cpu()
        starts, lengths = (None if part is None else part[rows] for part in (self.starts, self.lengths))
        vectors = self.vectors[rows.to(self.vectors.device) if isinstance(rows, Tensor) else rows]
        return replace(self, vectors=vectors, starts=starts, lengths=lengths)

    def load(self) -> Embeddings:
        """Return all rows as embeddings on the device, with sets padded to the largest."""
        if self.items is None or self.starts is None or self.lengths is None:
            return Embeddings(self.vectors)
        places = torch.arange(int(self.lengths.max()))
        absent = places >= self.lengths[:, None]
        items = self.items[(self.starts[:, None] + places).masked_fill(absent, 0)]
        items[absent] = 0
        return Embeddings(self.vectors, items.to(self.vectors.device), self.lengths)


@dataclass(frozen=True, init=False)
class EncodedSplit:
    """The images and captions of a split, encoded by one model.

    Attributes:
        images: of N distinct images: vectors `(N, D)`, `Embeddings`, or a side.
        texts: of M captions, on the same device.
        similarity: similarity that scores them.
        model: model that encoded them, which messages about its embeddings name; None: it is not known.
    """

    images: EncodedSide
    texts: EncodedSide
    similarity: Similarity
    model: JointEmbedding | None

    def __init__(
        self,
        images: Tensor | Embeddings | EncodedSide,
        texts: Tensor | Embeddings | EncodedSide,
        similarity: Similarity,
        model: JointEmbedding | None = None,
    ) -> None:
        for name, side in (("images", images), ("texts", texts)):
            object.__setattr__(self, name, EncodedSide.of(side))
        object.__setattr__(self, "similarity", similarity)
        object.__setattr__(self, "model", model)

    def select(self, images: slice, texts: Tensor) -> EncodedSplit:
        """Return a part: a slice of the images, and the captions that are True in `(M,)` texts."""
        return EncodedSplit(self.images.select(images), self.texts.select(texts), self.similarity, self.model)
