"""Image encoder for region features: a linear layer for each region, then pooling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

from torch import Tensor

from vsezoo.batch import Embeddings, RegionSets
from vsezoo.encoders.pooling import POOLINGS
from vsezoo.encoders.precomputed import FeatureImageEncoder, to_sets, unpack_sets
from vsezoo.recipe.options import OneOf


class RegionImageEncoder(FeatureImageEncoder):
    """`f(i) = pool_r(W φ_r + b)`, then unit L2 norm. Not from a paper: the simplest encoder that returns its regions.

    Args:
        pool: "mean" or "max" of the regions in each dimension; "gpo": learned pooling (VSE∞), see
            `GeneralizedPooling`.
        **of_features: options of `FeatureImageEncoder`, for the region features.

    Raises:
        RecipeError: for an invalid option.
    """

    kinds: ClassVar[tuple[str, ...]] = ("regions",)
    region_order = "invariant"
    gives = "sets"

    def __init__(self, *, pool: Annotated[str, OneOf(*POOLINGS)] = "mean", **of_features: Any) -> None:
        super().__init__(**of_features)
        self.pool = pool
        self.pooling = POOLINGS[pool]()

    def transform(self, training: bool) -> Callable[[Any], Tensor | RegionSets]:
        """Return a function that converts features to a float32 tensor, or to sets of different sizes."""
        return to_sets

    def forward(self, images: Tensor | RegionSets) -> Embeddings:
        """Return joint embeddings `(B, D)` and regions `(B, R, D)`, not scaled, of features `(B, R, F)`."""
        features, lengths = unpack_sets(images)
        regions = self.project(features, ("images", "regions"))
        return Embeddings(self.finish(self.pooling(regions, lengths)), regions, lengths)
