"""The data that parts exchange: captions as ids, batches of pairs, outputs of encoders and of losses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.errors import UsageError


@dataclass(frozen=True)
class Tokens:
    """A batch of captions as ids, padded with 0 at the end.

    Attributes:
        ids: `(B, L)` int64.
        lengths: `(B,)` int64, in main memory, as packed sequences need it; on the device of the ids for encoders that
            are `replayable`.
    """

    ids: Tensor
    lengths: Tensor

    @classmethod
    def pad(cls, captions: Sequence[np.ndarray]) -> Tokens:
        """Stack captions of different lengths."""
        lengths = torch.tensor([len(caption) for caption in captions], dtype=torch.int64)
        ids = np.zeros((len(captions), int(lengths.max())), dtype=np.int64)
        for row, caption in zip(ids, captions, strict=True):
            row[: len(caption)] = caption
        return cls(torch.from_numpy(ids), lengths)

    def to(self, device: torch.device) -> Tokens:
        """Move the ids to a device; the lengths stay."""
        return replace(self, ids=self.ids.to(device, non_blocking=True))


@dataclass(frozen=True)
class RegionSets:
    """A batch of images with different numbers of regions. `sets[2:5]` selects images, `len(sets)` is B.

    Attributes:
        features: `(B, R, F)`, with zeros after the last region of each image.
        lengths: `(B,)` int64, how many regions each image has, 1 or more.
    """

    features: Tensor
    lengths: Tensor

    @classmethod
    def pad(cls, images: Sequence[np.ndarray]) -> RegionSets:
        """Stack one or more images `(R_i, F)` of different sizes, as float32."""
        counts = [len(image) for image in images]
        features = np.zeros((len(images), max(counts), images[0].shape[-1]), dtype=np.float32)
        for row, image in zip(features, images, strict=True):
            row[: len(image)] = image
        return cls(torch.from_numpy(features), torch.tensor(counts, dtype=torch.int64))

    def __len__(self) -> int:
        """Return B."""
        return len(self.features)

    def __getitem__(self, rows: slice | Tensor) -> RegionSets:
        """Return some of the images."""
        return RegionSets(self.features[rows], self.lengths[rows])

    def to(self, device: torch.device) -> RegionSets:
        """Move the images to a device."""
        return RegionSets(self.features.to(device, non_blocking=True), self.lengths.to(device, non_blocking=True))


@dataclass(frozen=True)
class Batch:
    """Pairs of an image and a caption.

    Attributes:
        images: `(B, ...)` output of `ImageEncoder.transform`. With several processes, a loss gets only those of its
            own process.
        tokens: the captions.
        image_index: `(B,)` int64, index of each row's image in the split: equal for captions of one image.
        caption_index: `(B,)` int64, index of each row's caption in the split.
    """

    images: Tensor | RegionSets
    tokens: Tokens
    image_index: Tensor
    caption_index: Tensor

    @property
    def tensors(self) -> list[Tensor]:
        """All tensors, in the order of the attributes."""
        images = self.images
        first = [images.features, images.lengths] if isinstance(images, RegionSets) else [images]
        return [*first, self.tokens.ids, self.tokens.lengths, self.image_index, self.caption_index]

    def to(self, device: torch.device) -> Batch:
        """Move the batch to a device."""
        images = self.images
        return Batch(
            images.to(device) if isinstance(images, RegionSets) else images.to(device, non_blocking=True),
            self.tokens.to(device),
            self.image_index.to(device, non_blocking=True),
            self.caption_index.to(device, non_blocking=True),
        )


@dataclass(frozen=True, init=False)
class Embeddings:
    """The joint embeddings of B images or captions, with their regions or words.

    `embeddings[2:5]` and `embeddings[indices]` select inputs, `len(embeddings)` is B.

    Attributes:
        embeddings: `(B, D)`.
        items: `(B, K, D')`, the regions or words of each input, padded at the end; None: not kept.
        lengths: `(B,)` int64, how many of its K items each input has, 1 or more; None: all have K. Moved to the device
            of the embeddings.
        extras: further numbers of each input by names, `(B, …)`, such as the log variances of a probabilistic
            embedding: they go to the loss, and nowhere else.
    """

    embeddings: Tensor
    items: Tensor | None
    lengths: Tensor | None
    extras: Mapping[str, Tensor]

    def __init__(
        self,
        embeddings: Tensor,
        items: Tensor | None = None,
        lengths: Tensor | None = None,
        extras: Mapping[str, Tensor] = MappingProxyType({}),
        *,
        regions: Tensor | None = None,  # the name of `items` in `ImageOutput`
    ) -> None:
        values = {
            "embeddings": embeddings,
            "items": items if regions is None else regions,
            "lengths": None if lengths is None else lengths.to(embeddings.device, non_blocking=True),
            "extras": extras,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        tensors = {"embeddings": self.embeddings, "items": self.items, **self.extras}
        shapes = [f"{name} {tuple(value.shape)}" for name, value in tensors.items() if value is not None]
        return f"<Embeddings: {', '.join(shapes)} on {self.embeddings.device}>"

    @classmethod
    def of(cls, output: Tensor | Embeddings) -> Embeddings:
        """Convert the output of an encoder; a tensor becomes embeddings without items."""
        return cls(output) if isinstance(output, Tensor) else output

    @classmethod
    def cat(cls, parts: Sequence[Embeddings]) -> Embeddings:
        """Join one or more batches, whose largest sets may have different sizes."""
        embeddings = torch.cat([part.embeddings for part in parts])
        extras = {name: torch.cat([part.extras[name] for part in parts]) for name in parts[0].extras}
        if any(part.items is None for part in parts):
            return cls(embeddings, extras=extras)
        size = max(part.size for part in parts)
        parts = [part.pad(size) for part in parts]
        lengths = None if all(part.lengths is None for part in parts) else torch.cat([part.counts for part in parts])
        return cls(embeddings, torch.cat([part.regions for part in parts]), lengths, extras)

    def __len__(self) -> int:
        """Return B."""
        return len(self.embeddings)

    def __getitem__(self, rows: slice | Tensor) -> Embeddings:
        """Return the embeddings of some inputs."""
        items, lengths = (None if part is None else part[rows] for part in (self.items, self.lengths))
        extras = {name: extra[rows] for name, extra in self.extras.items()}
        return Embeddings(self.embeddings[rows], items, lengths, extras)

    @property
    def regions(self) -> Tensor:
        """The items, if they are known to exist."""
        assert self.items is not None, "these embeddings have no items"
        return self.items

    @property
    def size(self) -> int:
        """K, the size of the largest set."""
        return self.regions.shape[1]

    @property
    def counts(self) -> Tensor:
        """How many items each input has, `(B,)` int64, also if all have K."""
        if self.lengths is not None:
            return self.lengths
        return torch.full((len(self),), self.size, device=self.embeddings.device)

    @property
    def mask(self) -> Tensor:
        """False for padding, `(B, K)` bool."""
        return torch.arange(self.size, device=self.embeddings.device) < self.counts[:, None]

    def map(self, change: Callable[[Tensor], Tensor]) -> Embeddings:
        """Return the same with vectors, items and extras changed."""
        items = None if self.items is None else change(self.items)
        extras = {name: change(extra) for name, extra in self.extras.items()}
        return Embeddings(change(self.embeddings), items, self.lengths, extras)

    def pad(self, size: int) -> Embeddings:
        """Return the same with sets padded with zeros to this size, if they are smaller."""
        if size <= self.size:
            return self
        items = functional.pad(self.regions, (0, 0, 0, size - self.size))
        return Embeddings(self.embeddings, items, self.counts, self.extras)


ImageOutput = Embeddings
"""The name in earlier versions, in which only images had sets: `ImageOutput(embeddings, regions)`."""


def score_sides(similarity: Any, images: Tensor | Embeddings, texts: Tensor | Embeddings) -> Tensor:
    """Return the scores `(N, M)` of a similarity: of sets or vectors, as it needs them, in tiles in eval mode.

    Raises:
        UsageError: for vectors, if the similarity compares sets.
    """
    sets = similarity.inputs == "sets"
    sides = [Embeddings.of(side) for side in (images, texts)]
    if sets and any(side.items is None for side in sides):
        raise UsageError(
            "The similarity compares sets of regions and words, and got vectors.",
            remedy="Use what embed_images and embed_texts return, not encode_images and encode_texts.",
        )
    first, second = (side if sets else side.embeddings for side in sides)
    tile = similarity.tile or (2**12 if sets else 2**24)
    return score_tiles(similarity, first, second, len(images) * len(texts) if similarity.training else tile)


def score_tiles(score: Callable[[Any, Any], Tensor], images: Any, texts: Any, tile: int) -> Tensor:
    """Return the scores `(N, M)`, computed for at most `tile` pairs at a time.

    Args:
        score: computes the scores of some images and texts.
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
    """Split rows into parts of nearly equal length, at most `size`.

    Products with very few vectors use another kernel, in which equal vectors may get scores that differ in the last
    bit.
    """
    parts = max(1, -(-count // size))
    bounds = [count * part // parts for part in range(parts + 1)] if count else []
    return list(map(slice, bounds[:-1], bounds[1:]))


FEWEST = 16
"""A batch of fewer captions costs more, for each, than it saves by padding less."""


def cut_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Yield the indices of captions in batches, the shortest first.

    A batch of `FEWEST` or more ends before a caption that is longer than its first one by more than a tenth.
    """
    order, sizes = np.argsort(lengths, kind="stable"), np.sort(lengths)
    start = 0
    while start < len(order):
        similar = int(np.searchsorted(sizes, 1.1 * sizes[start], side="right"))
        end = min(start + batch_size, max(similar, start + FEWEST), len(order))
        yield order[start:end]
        start = end


@dataclass(frozen=True)
class LossOutput:
    """A scalar to minimise, and named parts of it for the log."""

    total: Tensor
    parts: Mapping[str, Tensor] = field(default_factory=dict)
