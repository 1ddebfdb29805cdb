"""The image encoder: features of a frozen network, standardised, through a linear layer and a parallel perceptron."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from vsezoo.encoders.precomputed import FIT_BLOCK, FeatureImageEncoder
from vsezoo.interfaces import PairDataset
from vsezoo.recipe.options import AtLeast, Below
from vsezoo_residual.residual import Residual

SMALLEST = 1e-9
"""The share of the mean square below which a variance is rounding."""


class ResidualImageEncoder(FeatureImageEncoder):
    """`f(i) = residual((φ(i) - μ) / σ)`, then unit L2 norm; μ is the mean feature of the training images.

    σ is one number, the root of the mean variance of the dimensions, so that those that vary most keep their weight.

    Args:
        center: subtract μ.
        hidden_size: see `Residual`.
        input_dropout: see `Residual`.
        dropout: see `Residual`.
        noise: standard deviation of normal noise that is added to `(φ(i) - μ) / σ` in training, 0: none.
        **of_features: the options of `FeatureImageEncoder`.

    Raises:
        RecipeError: for an invalid option.
    """

    kinds: ClassVar[tuple[str, ...]] = ("vector",)
    gives = "vectors"
    deviation: Tensor

    def __init__(
        self,
        *,
        center: bool = True,
        hidden_size: Annotated[int, AtLeast(0)] = 512,
        input_dropout: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        dropout: Annotated[float, AtLeast(0), Below(1)] = 0.3,
        noise: Annotated[float, AtLeast(0)] = 0.0,
        **of_features: Any,
    ) -> None:
        super().__init__(center=center, **of_features)
        self.noise = noise
        self.residual = Residual(self.fc, hidden_size, input_dropout, dropout)
        self.register_buffer("deviation", torch.ones(()))

    def fit(self, data: PairDataset) -> None:
        """Compute μ and σ, in blocks. Features that do not vary have σ = 1."""
        super().fit(data)
        count, width = len(data.image_ids), data.image_shape[-1]
        total, squares = np.zeros(width), np.zeros(width)
        for start in range(0, count, FIT_BLOCK):
            block = np.asarray(data.images(np.arange(start, min(start + FIT_BLOCK, count))), dtype=np.float64)
            total += block.sum(axis=0)
            squares += np.square(block).sum(axis=0)
        power = float(np.mean(squares)) / count
        variance = power - float(np.mean(np.square(total / count)))
        self.deviation.fill_(math.sqrt(variance) if variance > SMALLEST * power else 1.0)

    def forward(self, images: Tensor) -> Tensor:
        """Return joint embeddings `(B, D)` of features `(B, F)`.

        Raises:
            DataError: for features of another shape.
        """
        features = self.prepare(images, ("images",)) / self.deviation
        if self.training and self.noise:
            features = features + self.noise * torch.randn_like(features)
        return self.finish(self.residual(features, self.fc))
