"""The hinge triplet loss."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor

from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, Loss, LossOutput
from vsezoo.losses.same_image import share_image
from vsezoo.recipe.options import AtLeast


class HingeLoss(Loss):
    """Hinge triplet loss over the negatives of the batch, summed over the batch (VSE++, equations 5 and 6).

    With S the scores and α the margin, an image's cost for caption j is `max(0, α + S[i, j] - S[i, i])` and a
    caption's cost for image i is `max(0, α + S[i, j] - S[j, j])`. The sum takes all of them; max violation takes the
    largest for each image and for each caption.

    Args:
        margin: required score difference between a pair and a negative, α.
        max_violation: use only the hardest negative (VSE++); False sums over all (VSE0, Kiros et al. 2014).
        warmup_epochs: with `max_violation`, epochs at the start that sum over all negatives. Hardest negatives from
            the first step can drive all embeddings into one point, where the loss stays at `2 · B · margin`.
        mask_same_image: do not use other captions of the same image as negatives. Off in the papers.
        ncon: how many negatives an image and a caption have; 0: all other pairs. They are those of the pairs 1 to
            `ncon` rows further down, counted on from the first row after the last (the first release of Kiros et al.:
            100). In a batch of `ncon` pairs or fewer a pair occurs repeatedly and counts each time. A pair is
            never its own negative: where the original meets it, it adds the margin, which has no gradient.
        selective_epsilon: with `max_violation`, selectively hard negatives (SelHN; Li et al. 2023, arXiv 2303.00181),
            0: off. An image or a caption whose match scores less than this above or below its highest negative has
            the mean over all negatives as its cost, because the hardest alone has almost no gradient. The paper's
            code uses 0.01; its loss is this one divided by 2 B.

    Raises:
        RecipeError: for an invalid value, `ncon` with `max_violation`, or `selective_epsilon` without it.
    """

    replayable = True

    def __init__(
        self,
        *,
        margin: Annotated[float, AtLeast(0)] = 0.2,
        max_violation: bool = False,
        warmup_epochs: Annotated[int, AtLeast(0)] = 0,
        mask_same_image: bool = False,
        ncon: Annotated[int, AtLeast(0)] = 0,
        selective_epsilon: Annotated[float, AtLeast(0)] = 0.0,
    ) -> None:
        super().__init__()
        if selective_epsilon and not max_violation:
            raise RecipeError(
                f"loss.selective_epsilon is {selective_epsilon}, but the loss sums over all negatives.",
                remedy="Add --max-violation, or leave it out: --set loss.selective_epsilon=0.",
            )
        if ncon and max_violation:
            raise RecipeError(
                f"loss.ncon is {ncon}, but max violation looks for the hardest of all negatives in the batch.",
                remedy="Use only one of the two: --set loss.ncon=0, or --sum-violation.",
            )
        self.margin = margin
        self.max_violation = max_violation
        self.warmup_epochs = warmup_epochs
        self.mask_same_image = mask_same_image
        self.ncon = ncon
        self.selective_epsilon = selective_epsilon
        self.hardest = max_violation and warmup_epochs == 0

    def start_epoch(self, epoch: int) -> None:
        """Switch from the sum to the hardest negative after the warm-up."""
        self.hardest = self.max_violation and epoch >= self.warmup_epochs

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Batch) -> LossOutput:
        """Return the loss, and its two directions as parts `i2t` and `t2i`."""
        matching = scores.diagonal()
        of_images = (self.margin + scores - matching[:, None]).clamp(min=0)
        of_texts = (self.margin + scores - matching[None, :]).clamp(min=0)
        if self.mask_same_image:
            excluded = share_image(batch)
        else:
            excluded = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        of_images = of_images.masked_fill(excluded, 0)
        of_texts = of_texts.masked_fill(excluded, 0)
        if self.hardest and self.selective_epsilon:
            i2t = self._select(of_images, scores, excluded).sum()
            t2i = self._select(of_texts.T, scores.T, excluded).sum()
        elif self.hardest:
            i2t, t2i = of_images.max(dim=1).values.sum(), of_texts.max(dim=0).values.sum()
        elif self.ncon:
            times = self._count_rounds(scores)
            i2t, t2i = (times * of_images).sum(), (times.T * of_texts).sum()
        else:
            i2t, t2i = of_images.sum(), of_texts.sum()
        return LossOutput(i2t + t2i, {"i2t": i2t.detach(), "t2i": t2i.detach()})

    def _select(self, costs: Tensor, scores: Tensor, excluded: Tensor) -> Tensor:
        """Return the cost `(B,)` of each row: its hardest negative's, or the mean over all where that is close."""
        highest = scores.detach().masked_fill(excluded, -math.inf).amax(dim=1)
        is_close = (scores.detach().diagonal() - highest).abs() < self.selective_epsilon
        negatives = (~excluded).sum(dim=1).clamp(min=1)
        return torch.where(is_close, costs.sum(dim=1) / negatives, costs.max(dim=1).values)

    def _count_rounds(self, scores: Tensor) -> Tensor:
        """Return how often each caption `(B, B)` is a negative of each image: how many of 1 to `ncon` lead to it."""
        rows = torch.arange(len(scores), device=scores.device)
        shifts = (rows[None, :] - rows[:, None]) % len(scores)
        return (self.ncon - shifts + len(scores)) // len(scores)
