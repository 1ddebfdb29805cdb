"""From sets to probabilistic embeddings: a head for the mean and one for the variance."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.encoders.augmentation import drop_items
from vsezoo.encoders.pooling import POOLINGS


class Head(nn.Module):
    """`pool_k(W x_k + b)` of a set; in training it loses items of each set, as PCME++ does with image tokens.

    Args:
        width: numbers of an item.
        embed_size: D.
        pool: one of `POOLINGS`.
        xavier: draw W from U(-r, r) with r = √(6 / (width + D)), and b = 0; False: both as torch does.
        bias: b at first, if it is not drawn.
        drop: the largest share of items to leave out in training; see `drop_items`.
    """

    def __init__(
        self,
        width: int,
        embed_size: int,
        pool: str = "gpo",
        *,
        xavier: bool = True,
        bias: float | None = 0.0,
        drop: float = 0.0,
    ) -> None:
        super().__init__()
        self.fc, self.drop = nn.Linear(width, embed_size), drop
        if xavier:
            nn.init.xavier_uniform_(self.fc.weight)
        if bias is not None:
            nn.init.constant_(self.fc.bias, bias)
        self.pooling = POOLINGS[pool]()

    def forward(self, items: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return `(B, D)` float32 of sets `(B, K, width)`."""
        if self.training and self.drop and lengths is None:
            items, lengths = drop_items(items, self.drop, vary=True)
        pooled: Tensor = self.pooling(self.fc(items).float(), lengths)
        return pooled


def join(mean: Tensor, log_variance: Tensor, extras: dict[str, Tensor] | None = None) -> Embeddings:
    """Return probabilistic embeddings `(B, D + 1)`: a mean of unit L2 norm and the sum of the variances.

    Args:
        mean: `(B, D)`, not scaled yet.
        log_variance: `(B, D)`, which goes to the loss as an extra.
        extras: others.
    """
    uncertainty = log_variance.exp().sum(dim=-1, keepdim=True)
    vectors = torch.cat([functional.normalize(mean, dim=-1), uncertainty], dim=-1)
    return Embeddings(vectors, extras={"log_variance": log_variance, **(extras or {})})
