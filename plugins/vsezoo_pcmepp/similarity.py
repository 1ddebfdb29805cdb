"""The closed-form sampled distance of PCME++ (Chun 2024) as a similarity."""

from __future__ import annotations

from torch import Tensor

from vsezoo.interfaces import Similarity


class CSDSimilarity(Similarity):
    """`s(i, c) = -(||μ_i - μ_c||² + Σ_d σ²_i + Σ_d σ²_c)`: minus the expected squared distance of samples of the two.

    A vector is a mean and, behind it, its uncertainty `Σ_d σ²`: more of the variances the score does not need. What is
    uncertain fits everything less, so the uncertainty of a query cannot change the order of what it finds.
    """

    uncertain = True

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores `(N, M)` of images `(N, D + 1)` and texts `(M, D + 1)`."""
        own_images, own_texts = (side[:, :-1].square().sum(dim=1) + side[:, -1] for side in (images, texts))
        return 2 * images[:, :-1] @ texts[:, :-1].T - own_images[:, None] - own_texts[None, :]
