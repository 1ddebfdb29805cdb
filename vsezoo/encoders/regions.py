"""Images given as features of their regions: one linear layer for each region, then pooled."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from vsezoo.embeddings import Embeddings
from vsezoo.encoders.precomputed import FeatureImageEncoder


class RegionImageEncoder(FeatureImageEncoder):
    """`f(i) = pool_r(W φ_r + b)`, then unit L2 norm. Not from a paper: the plainest encoder that shows its regions.

    Args:
        embed_size: D, the width of the joint embedding.
        img_dim: F, the width of a region's feature.
        pool: "mean" or "max" of the regions, in each dimension.
        normalize: scale embeddings to unit L2 norm.
        use_abs: take absolute values of the embeddings, as order-embeddings do.
        center: subtract the mean feature of all regions of the training images first.
        init: "xavier_uniform" or "xavier_normal", as for the encoder of one feature for each image.

    Raises:
        RecipeError: for a value that an option cannot have.
    """

    kinds: ClassVar[tuple[str, ...]] = ("regions",)
    poolings = ("mean", "max")
    region_order = "invariant"
    gives = "sets"

    def __init__(
        self,
        *,
        embed_size: int,
        img_dim: int = 2048,
        pool: str = "mean",
        normalize: bool = True,
        use_abs: bool = False,
        center: bool = False,
        init: str = "xavier_uniform",
    ) -> None:
        super().__init__(embed_size, img_dim, normalize, use_abs, center, pool, init)

    def forward(self, images: Tensor) -> Embeddings:
        """Return joint embeddings `(B, D)` and regions `(B, R, D)`, not scaled, of features `(B, R, F)`."""
        regions = self.project(images, ("images", "regions"))
        pooled = regions.mean(dim=1) if self.pool == "mean" else regions.amax(dim=1)
        return Embeddings(self.finish(pooled), regions)
