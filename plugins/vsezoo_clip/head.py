"""The head of a pretrained encoder whose features are one vector each: a linear layer, or that plus an MLP."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

HEADS = ("none", "linear", "mlp")


class ProjectionHead(nn.Module):
    """`W x + b`, and with an MLP `W x + b + V relu(U x + c) + d`, of features x scaled to the length √F.

    V and d begin as zeros. If features and embeddings have the same width, W begins as the identity and b as zeros, so
    that cosines are at first those of the features; else W is drawn from U(-r, r) with r = √(6 / (F + D)).

    Args:
        width: F, the width of a feature.
        embed_size: D, the width of the joint embedding.
        mlp: whether there is an MLP. Its hidden layer has D units.
        dropout: share of the units of x, and of the hidden layer, that are zero in a training step.
    """

    def __init__(self, width: int, embed_size: int, *, mlp: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(width, embed_size)
        if width == embed_size:
            nn.init.eye_(self.fc.weight)
        else:
            nn.init.xavier_uniform_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        self.mlp: nn.Sequential | None = None
        if mlp:
            last = nn.Linear(embed_size, embed_size)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.mlp = nn.Sequential(nn.Linear(width, embed_size), nn.ReLU(), nn.Dropout(dropout), last)

    def forward(self, features: Tensor) -> Tensor:
        """Return the embeddings `(..., D)` of features `(..., F)`, not scaled, in float32."""
        scaled = self.dropout(functional.normalize(features, dim=-1) * self.width**0.5)
        with torch.autocast(features.device.type, enabled=False):  # eight bits of mantissa would blur the cosines
            projected: Tensor = self.fc(scaled)
            return projected if self.mlp is None else projected + self.mlp(scaled)
