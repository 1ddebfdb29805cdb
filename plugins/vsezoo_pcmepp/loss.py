"""The loss of PCME++ (Chun 2024): matches as soft labels of a binary classification of all pairs."""

from __future__ import annotations

from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Batch, Loss, LossOutput
from vsezoo.recipe.options import AtLeast, Below, OneOf

LARGEST_VIB = 10_000.0
"""Beyond it, the regulariser counts as 0, as in the original code."""


class ProbabilisticMatchingLoss(Loss):
    """`2 BCE(z, Y) + β VIB + α (P_i2t + P_t2i)` with logits `z = a s + b` of the scores s, which are minus a distance.

    BCE is the mean over all B² pairs. Y is 1 for pairs of one image, or what mixed samples make of it, and smoothed. P
    is the BCE with pseudo-positives: in a row, each pair whose logit is not below that of the match gets the label of
    the match; in P_t2i, in a column. VIB keeps means and variances near those of N(0, 1):
    `mean of -(1 + log σ² - μ² - σ²) / 2`, of both sides. Where two pairs of a row have the largest label, the one on
    the diagonal is the match; the original code takes the first.

    Args:
        scale: a at first; learned.
        shift: b at first; learned.
        vib: β, weight of the regulariser.
        pseudo: α, weight of the pseudo-positives.
        smoothing: ε, labels are ε and 1 - ε.
        distance: "csd": that of the similarity. "wasserstein": `||μ_i - μ_c||² + Σ (σ_i - σ_c)²` in its place, an
            ablation of the paper; evaluation has the similarity in any case.
    """

    needs = "extras"
    additive = False

    def __init__(
        self,
        *,
        scale: Annotated[float, AtLeast(0)] = 5.0,
        shift: float = 5.0,
        vib: Annotated[float, AtLeast(0)] = 1e-4,
        pseudo: Annotated[float, AtLeast(0)] = 0.1,
        smoothing: Annotated[float, AtLeast(0), Below(0.5)] = 1e-4,
        distance: Annotated[str, OneOf("csd", "wasserstein")] = "csd",
    ) -> None:
        super().__init__()
        self.negative_scale, self.shift = nn.Parameter(torch.tensor([scale])), nn.Parameter(torch.tensor([shift]))
        self.vib, self.pseudo, self.smoothing, self.distance = vib, pseudo, smoothing, distance

    def forward(self, scores: Tensor, images: Embeddings, texts: Embeddings, batch: Batch) -> LossOutput:
        """Return the loss, and its parts `bce`, `vib` and `pseudo`, the number of pseudo-positives.

        Args:
            scores: `(B, B)`.
            images: with the extras `log_variance (B, D)` and, of mixed samples, `mixing (B, 2)`; see `mix_samples`.
            texts: with `log_variance`.
            batch: the pairs.
        """
        if self.distance == "wasserstein":
            scores = _score_wasserstein(images, texts)
        logits = self.negative_scale * scores + self.shift
        labels = _make_labels(batch, images).to(logits.dtype) * (1 - 2 * self.smoothing) + self.smoothing
        bce = functional.binary_cross_entropy_with_logits(logits, labels)
        total, parts = 2 * bce, {"bce": bce.detach()}
        if self.vib:
            regulariser = _regularise(images) + _regularise(texts)
            regulariser = torch.where(regulariser > LARGEST_VIB, torch.zeros_like(regulariser), regulariser)
            total, parts["vib"] = total + self.vib * regulariser, regulariser.detach()
        if self.pseudo:
            of_images, found = _cost_pseudo(logits, labels)
            of_texts, more = _cost_pseudo(logits.T, labels.T)
            total = total + self.pseudo * (of_images + of_texts)
            parts["pseudo"] = (found + more).to(logits.dtype)
        return LossOutput(total, parts)


def _make_labels(batch: Batch, images: Embeddings) -> Tensor:
    """Return Y `(B, B)`: 1 for pairs of one image; of mixed samples, the shares that images have of their pairs."""
    mixing = images.extras.get("mixing")
    if mixing is None:
        return (batch.image_index[:, None] == batch.image_index[None, :]).float()
    rows = torch.arange(len(mixing), device=mixing.device)
    partners = rows + mixing[:, 1].round().long()
    labels = torch.diag(mixing[:, 0])
    return labels.index_put((rows, partners), 1 - mixing[:, 0], accumulate=True)


def _cost_pseudo(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the BCE of labels in which what scores as high as the match of its row has the match's label; how many."""
    largest, match = labels.max(dim=1)
    rows = torch.arange(len(labels), device=labels.device)
    match = torch.where(labels.diagonal() >= largest, rows, match)
    higher = logits >= logits[rows, match][:, None]
    relabelled = torch.where(higher, labels[rows, match][:, None], labels)
    return functional.binary_cross_entropy_with_logits(logits, relabelled), higher.sum() - len(rows)


def _regularise(side: Embeddings) -> Tensor:
    """Return the divergence of the embeddings from N(0, 1), the mean over inputs and dimensions."""
    log_variance = side.extras.get("log_variance")
    if log_variance is None:
        return side.embeddings.new_zeros(())
    mean = side.embeddings[:, :-1]
    return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).mean()


def _score_wasserstein(images: Embeddings, texts: Embeddings) -> Tensor:
    """Return minus the squared 2-Wasserstein distance of diagonal Gaussians, `(B, B)`."""
    sides = []
    for side in (images, texts):
        deviation = (0.5 * side.extras["log_variance"]).exp()
        sides.append(torch.cat([side.embeddings[:, :-1], deviation], dim=1))
    first, second = sides
    return 2 * first @ second.T - first.square().sum(dim=1)[:, None] - second.square().sum(dim=1)[None, :]
