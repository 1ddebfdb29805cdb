"""The similarities of vectors: `cosine` and `order`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vsezoo.interfaces import Similarity


class CosineSimilarity(Similarity):
    """`s(i, c) = f(i) · g(c)`, the cosine if the encoders return unit vectors (VSE++, section 3.1).

    With un-normalised images (`normalize=False`) it is the plain inner product, as in VSE0.
    """

    metric = "inner_product"
    replayable = True

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores `(N, M)`."""
        return images @ texts.T


class OrderSimilarity(Similarity):
    """`s(i, c) = -||max(0, g(c) - f(i))||`: zero where the image is above the caption in every coordinate.

    The caption is the more general, and the lower, of the two (Vendrov et al. 2016; with the root that
    VSE++ takes). Computed in blocks of bounded memory, forwards and backwards. Where nothing is violated the gradient
    is zero, although that of the root alone would be infinite.

    Args:
        squared: omit the root, as in the order-embedding paper. The ranks are the same, the loss is not.
    """

    replayable = True

    def __init__(self, *, squared: bool = False) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores `(N, M)`."""
        penalties: Tensor = _OrderPenalty.apply(images, texts)
        if self.squared:
            return -penalties
        violated = penalties > 0
        # Where nothing is violated the root is taken of ones, so that no infinite gradient is multiplied by zero.
        return -torch.where(violated, penalties.where(violated, 1.0).sqrt(), 0.0)


BLOCK_NUMBERS = {"cpu": 2**17}  # float32 numbers in one block of differences: 512 KiB, which a cache holds
LARGE_BLOCK = 2**23  # on other devices: 32 MiB


class _OrderPenalty(torch.autograd.Function):
    """`E[n, m] = Σ_d max(0, texts[m, d] - images[n, d])²`, with the differences computed again for the gradient."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, texts: Tensor) -> Tensor:
        ctx.save_for_backward(images, texts)
        penalties = images.new_empty(len(images), len(texts))
        for rows, columns in _blocks(images, texts):
            penalties[rows, columns] = _differences(images[rows], texts[columns]).square().sum(dim=-1)
        return penalties

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient,) = gradients
        images, texts = ctx.saved_tensors
        of_images, of_texts = torch.zeros_like(images), torch.zeros_like(texts)
        for rows, columns in _blocks(images, texts):
            weighted = _differences(images[rows], texts[columns]) * (2 * gradient[rows, columns, None])
            of_images[rows] -= weighted.sum(dim=1)
            of_texts[columns] += weighted.sum(dim=0)
        return of_images, of_texts


def _differences(images: Tensor, texts: Tensor) -> Tensor:
    return (texts[None, :, :] - images[:, None, :]).clamp_(min=0)


def _blocks(images: Tensor, texts: Tensor) -> list[tuple[slice, slice]]:
    """Split the `(N, M)` scores into blocks of at most this many differences (or one pair)."""
    numbers = BLOCK_NUMBERS.get(images.device.type, LARGE_BLOCK)
    width = max(1, min(len(texts), numbers // images.shape[1]))
    height = max(1, numbers // (width * images.shape[1]))
    return [
        (slice(row, row + height), slice(column, column + width))
        for row in range(0, len(images), height)
        for column in range(0, len(texts), width)
    ]
