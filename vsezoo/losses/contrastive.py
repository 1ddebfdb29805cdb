"""Losses that compare all pairs of a batch at once: the cross-entropy of matches, and the logistic loss of pairs."""

from __future__ import annotations

import math
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.errors import RecipeError
from vsezoo.interfaces import Batch, Loss, LossOutput
from vsezoo.losses.same_image import share_image
from vsezoo.recipe.options import Above

MAX_SCALE = 100.0  # of a learned scale


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

    replayable = True
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
            logits = logits.masked_fill(share_image(batch).fill_diagonal_(False), -math.inf)
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

    replayable = True
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
        excluded = share_image(batch) if self.mask_same_image else matches
        of_matches = costs.diagonal().sum()
        of_negatives = costs.masked_fill(excluded, 0).sum()
        parts = {"matches": of_matches.detach(), "negatives": of_negatives.detach()}
        learned = {"scale": scale.detach(), "bias": self.bias.detach().clone()} if self.learn else {}
        return LossOutput(of_matches + of_negatives, {**parts, **learned})
