"""Pairs whose image and caption belong together although they stand in different rows of the batch."""

from __future__ import annotations

from torch import Tensor

from vsezoo.batch import Batch


def share_image(batch: Batch) -> Tensor:
    """Return which pairs `(B, B)` have the same image."""
    return batch.image_index[:, None] == batch.image_index[None, :]
