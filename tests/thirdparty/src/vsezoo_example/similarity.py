"""The similarity: minus the distance."""

import torch
from torch import Tensor

from vsezoo.interfaces import Similarity


class EuclideanSimilarity(Similarity):
    """`s(i, c) = -||i - c||`, or `-||i - c||²`.

    Args:
        squared: take the square of the distance.
    """

    def __init__(self, *, squared: bool = False) -> None:
        super().__init__()
        self.squared = squared

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores `(N, M)` of images `(N, D)` and texts `(M, D)`."""
        distances = torch.cdist(images, texts)
        return -distances.square() if self.squared else -distances
