"""Losses of the scores of a batch: the hinge triplet loss, the cross-entropy of matches, the logistic loss of pairs."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, Loss, LossOutput
from vsezoo.recipe.options import Above, AtLeast


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
        selective_epsilon: with `max_violation`, selectively hard negatives (SelHN; Li et al. 2023, arXiv 2303.00181):
            an image or a caption whose match scores less than this above or below its highest negative has the mean
            over all negatives as its cost, because the hardest alone has almost no gradient. 0: off. The paper's code
            uses 0.01; its loss is this one divided by 2 B.

    Raises:
        RecipeError: for an invalid value, `ncon` with `max_violation`, or `selective_epsilon` without it.
    """

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
            excluded = _share_image(batch)
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


class InfoNCELoss(Loss):
    """Cross-entropy of each image among the captions of the batch, and of each caption among the images.

    With S the scores and τ the temperature, `- Σ_i log softmax_j(S[i, j] / τ)[i] - Σ_j log softmax_i(S[i, j] / τ)[j]`:
    CLIP's loss (Radford et al. 2021) times `2 B`. It is a sum over the batch, not a mean, as all losses here: a pair
    weighs the same in a smaller last batch, and `training.grad_clip` means what it does for the hinge.

    Args:
        temperature: divisor of the scores, τ, or its initial value.
        learn_temperature: train log(1 / τ). As in CLIP, 1 / τ never exceeds 100.
        mask_same_image: exclude other captions of the same image, and that image for them, from the softmax.

    Raises:
        RecipeError: for an invalid temperature.
    """

    log_scale: Tensor

    def __init__(
        self,
        *,
        temperature: Annotated[float, Above(0)] = 0.07,
        learn_temperature: bool = False,
        mask_same_image: bool = False,
    ) -> None:
        super().__init__()
        if learn_temperature and temperature < 1 / MAX_SCALE:
            raise RecipeError(
                f"loss.temperature is {temperature}; a learned temperature must be {1 / MAX_SCALE} or more."
            )
        log_scale = torch.tensor(-math.log(temperature))
        self.log_scale = nn.Parameter(log_scale) if learn_temperature else log_scale
        self.learn_temperature, self.mask_same_image = learn_temperature, mask_same_image

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Batch) -> LossOutput:
        """Return the loss, its two directions as parts `i2t` and `t2i`, and `temperature` if it is learned."""
        if self.learn_temperature:
            with torch.no_grad():
                self.log_scale.clamp_(max=math.log(MAX_SCALE))
        scale = self.log_scale.exp()
        logits = scale * scores
        if self.mask_same_image:
            logits = logits.masked_fill(_share_image(batch).fill_diagonal_(False), -math.inf)
        matches = torch.arange(len(scores), device=scores.device)
        i2t = functional.cross_entropy(logits, matches, reduction="sum")
        t2i = functional.cross_entropy(logits.T, matches, reduction="sum")
        learned = {"temperature": 1 / scale.detach()} if self.learn_temperature else {}
        return LossOutput(i2t + t2i, {"i2t": i2t.detach(), "t2i": t2i.detach(), **learned})


class SigmoidLoss(Loss):
    """Logistic loss of every pair of the batch, that caption and image belong together (Zhai et al. 2023, Algorithm 1).

    With S the scores, `l = exp(t) S + b` and z = 1 for a match and -1 otherwise, `- Σ_ij log σ(z_ij l_ij)`: the loss of
    SigLIP times B, which is a mean over the images of sums over the captions.

    Scale and bias are trained and stored with the loss. A similarity that has its own, such as `scaled-cosine`, takes
    `scale` 1, `bias` 0 and `learn` false.

    Args:
        scale: factor of the scores, exp(t), or its initial value.
        bias: what is added to them, b, or its initial value. Nearly all pairs are negatives; -10 starts near that.
        learn: train t and b.
        mask_same_image: leave out pairs of an image and another caption of it. They count as negatives in the paper.
    """

    log_scale: Tensor
    bias: Tensor

    def __init__(
        self,
        *,
        scale: Annotated[float, Above(0)] = 10.0,
        bias: float = -10.0,
        learn: bool = True,
        mask_same_image: bool = False,
    ) -> None:
        super().__init__()
        self.learn, self.mask_same_image = learn, mask_same_image
        first, second = torch.tensor(math.log(scale)), torch.tensor(float(bias))
        self.log_scale, self.bias = (nn.Parameter(first), nn.Parameter(second)) if learn else (first, second)

    def forward(self, scores: Tensor, images: Any, texts: Any, batch: Batch) -> LossOutput:
        """Return the loss, that of matches and of negatives as parts, and `scale` and `bias` if they are learned."""
        scale = self.log_scale.exp()
        logits = scale * scores + self.bias
        matches = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
        costs = -functional.logsigmoid(torch.where(matches, logits, -logits))
        excluded = _share_image(batch) if self.mask_same_image else matches
        of_matches = costs.diagonal().sum()
        of_negatives = costs.masked_fill(excluded, 0).sum()
        parts = {"matches": of_matches.detach(), "negatives": of_negatives.detach()}
        learned = {"scale": scale.detach(), "bias": self.bias.detach().clone()} if self.learn else {}
        return LossOutput(of_matches + of_negatives, {**parts, **learned})


MAX_SCALE = 100.0  # of a learned scale


def _share_image(batch: Batch) -> Tensor:
    """Return which pairs `(B, B)` have the same image."""
    return batch.image_index[:, None] == batch.image_index[None, :]


def wants_sets(loss: Loss | type[Loss]) -> tuple[bool, bool]:
    """Return whether a loss needs regions, and whether it needs words."""
    return loss.needs in ("image_sets", "sets"), loss.needs == "sets"


def choose_sides(loss: Loss, images: Embeddings, texts: Embeddings) -> tuple[Any, Any]:
    """Return the images and texts in the form that the loss `needs`."""
    return (
        images.embeddings if loss.needs == "vectors" else images,
        texts if loss.needs in ("sets", "extras") else texts.embeddings,
    )
