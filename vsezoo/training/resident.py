"""A training split on a GPU: the features and captions of a batch are gathered there, and only its indices travel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vsezoo.batch import Batch, Tokens
from vsezoo.inputs import PairDataset
from vsezoo.training.batches import TokenTable

BLOCK = 1024
"""Images that are read at a time."""

SHARE = 0.5
"""The features may take this share of the memory that is free; the rest is for training."""


class ResidentPairs:
    """A split of features whose batches are made on a device.

    Args:
        data: the split; its images are features of one shape, see `fits`.
        tokens: its captions as ids.
        device: the device.
    """

    def __init__(self, data: PairDataset, tokens: TokenTable, device: torch.device) -> None:
        self._images = _upload(data, device)
        self._widths, self._lengths = tokens.lengths, torch.from_numpy(tokens.lengths).to(device)
        starts = torch.from_numpy(tokens.ends - tokens.lengths)
        self._ids, self._starts = torch.from_numpy(tokens.ids).to(device), starts.to(device)
        self._image_of = as_stored(data.image_of).to(device)

    @staticmethod
    def fits(data: PairDataset, device: torch.device) -> bool:
        """Return whether features of one shape fit into the free memory of a GPU."""
        free, _ = torch.cuda.mem_get_info(device)
        size: int = len(data.image_ids) * data.images(np.arange(1)).nbytes
        return size <= SHARE * free

    def load(self, batches: Sequence[np.ndarray]) -> Iterator[Batch]:
        """Yield the batches of these caption indices, with the lengths of the captions on the device, too."""
        if not batches:
            return
        device = self._images.device
        order = torch.from_numpy(np.concatenate(batches)).to(device)
        for chosen, captions in zip(torch.split(order, [len(batch) for batch in batches]), batches, strict=True):
            images = self._image_of[chosen]
            yield Batch(self._images[images], self._pad(chosen, int(self._widths[captions].max())), images, chosen)

    def _pad(self, captions: Tensor, width: int) -> Tokens:
        lengths, steps = self._lengths[captions], torch.arange(width, device=captions.device)
        inside = steps < lengths[:, None]
        places = torch.where(inside, self._starts[captions][:, None] + steps, 0)
        return Tokens(torch.where(inside, self._ids[places], 0).long(), lengths)


def as_stored(features: np.ndarray) -> Tensor:
    """Return features as a tensor of their own type."""
    return torch.from_numpy(np.require(features, requirements="W"))


def _upload(data: PairDataset, device: torch.device) -> Tensor:
    """Return all images of a split on a device, as they are stored: float16 stays so."""
    images: Tensor | None = None
    for start in range(0, len(data.image_ids), BLOCK):
        block = as_stored(data.images(np.arange(start, min(start + BLOCK, len(data.image_ids)))))
        if images is None:
            images = torch.empty(len(data.image_ids), *block.shape[1:], dtype=block.dtype, device=device)
        images[start : start + len(block)].copy_(block)
    assert images is not None, "a training split has images"
    return images
