"""The hinge triplet loss, over all negatives of a batch or the hardest."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, ImageOutput, Loss, LossOutput


class HingeLoss(Loss):
    """Hinge triplet loss over the negatives of the batch, summed over the batch (VSE++, equations 5 and 6).

    With S the scores and α the margin, an image's cost for caption j is `max(0, α + S[i, j] - S[i, i])` and a
    caption's cost for image i is `max(0, α + S[i, j] - S[j, j])`. The sum takes all of them; max violation takes the
    largest for each image and for each caption.

    Args:
        margin: α.
        max_violation: only the hardest negative counts (VSE++); False sums over all (VSE0, Kiros et al. 2014).
        warmup_epochs: with `max_violation`, epochs at the start that sum over all negatives: hardest negatives from
            the first step can drive all embeddings into one point, where the loss stays at `2 · B · margin`.
        mask_same_image: do not take other captions of the same image for negatives. Off in the papers.
    """

    def __init__(
        self,
        *,
        margin: float = 0.2,
        max_violation: bool = False,
        warmup_epochs: int = 0,
        mask_same_image: bool = False,
    ) -> None:
        super().__init__()
        if not 0 <= margin < math.inf:
            raise RecipeError(f"loss.margin is {margin}; it must be a number that is not negative.")
        if warmup_epochs < 0:
            raise RecipeError(f"loss.warmup_epochs is {warmup_epochs}; it must not be negative.")
        self.margin = margin
        self.max_violation = max_violation
        self.warmup_epochs = warmup_epochs
        self.mask_same_image = mask_same_image
        self.hardest = max_violation and warmup_epochs == 0

    def start_epoch(self, epoch: int) -> None:
        """Switch from the sum to the hardest negative after the warm-up."""
        self.hardest = self.max_violation and epoch >= self.warmup_epochs

    def forward(self, scores: Tensor, images: Tensor | ImageOutput, texts: Tensor, batch: Batch) -> LossOutput:
        """Return the loss, and its two directions as parts `i2t` and `t2i`."""
        matching = scores.diagonal()
        of_images = (self.margin + scores - matching[:, None]).clamp(min=0)
        of_texts = (self.margin + scores - matching[None, :]).clamp(min=0)
        if self.mask_same_image:
            excluded = batch.image_index[:, None] == batch.image_index[None, :]
        else:
            excluded = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        of_images = of_images.masked_fill(excluded, 0)
        of_texts = of_texts.masked_fill(excluded, 0)
        if self.hardest:
            i2t, t2i = of_images.max(dim=1).values.sum(), of_texts.max(dim=0).values.sum()
        else:
            i2t, t2i = of_images.sum(), of_texts.sum()
        return LossOutput(i2t + t2i, {"i2t": i2t.detach(), "t2i": t2i.detach()})
