"""The image encoder of VSE∞ (Chen et al. 2021): regions or cells of a grid, projected, then pooled by GPO."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings, RegionSets
from vsezoo.encoders.augmentation import drop_items
from vsezoo.encoders.pooling import POOLINGS
from vsezoo.encoders.precomputed import unpack_sets
from vsezoo.encoders.regions import RegionImageEncoder
from vsezoo.recipe.options import AtLeast, Below, OneOf


class VSEInftyImageEncoder(RegionImageEncoder):
    """`f(i) = GPO_r(W φ_r + b + MLP(φ_r))`, then unit L2 norm.

    The MLP has one hidden layer of D / 2 units with batch norm over the regions of all images of the batch, those of
    padding included, as in the original code.

    Args:
        pool: see `regions`.
        mlp: add the MLP, as for regions; False: the linear layer alone, as for the cells of a grid.
        size_augmentation: in training, the probability with which each region is left out.
        vary_augmentation: leave out another share of each image, from none to that; see `drop_items`. So it is for the
            cells of a grid.
        **options: the others of `regions`.
    """

    # Before a batch norm, a bias has no gradient but for rounding.
    without_gradient = ("mlp.layers.0.bias", "head.mlp.layers.0.bias")

    def __init__(
        self,
        *,
        embed_size: int,
        img_dim: Annotated[int, AtLeast(1)] = 2048,
        pool: Annotated[str, OneOf(*POOLINGS)] = "gpo",
        mlp: bool = True,
        size_augmentation: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        vary_augmentation: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim, pool=pool, **options)
        self.mlp = RegionMLP(img_dim, embed_size) if mlp else None
        self.size_augmentation, self.vary_augmentation = size_augmentation, vary_augmentation

    def forward(self, images: Tensor | RegionSets) -> Embeddings:
        """Return joint embeddings `(B, D)` and regions `(B, R, D)`, not scaled, of features `(B, R, F)`.

        In training, regions are left out, and R is the size of the largest set that is left.
        """
        features, lengths = unpack_sets(images)
        if self.training and self.size_augmentation and features.dim() == 3 and features.shape[1]:
            features, lengths = drop_items(
                features, self.size_augmentation, vary=self.vary_augmentation, lengths=lengths
            )
        return self.embed(features, lengths)

    def embed(self, images: Tensor, lengths: Tensor | None = None) -> Embeddings:
        """Return what `forward` does of sets of different sizes.

        Args:
            images: features `(B, R, F)`, padded at the end.
            lengths: `(B,)`, how many regions each image has; None: all have R.
        """
        regions = self.project(images, ("images", "regions"))
        return Embeddings(self.finish(self.pooling(regions, lengths)), regions, lengths)

    def project(self, images: Tensor, form: tuple[str, ...]) -> Tensor:
        """Return `W φ + b + MLP(φ)` of features `(*form, F)`, float32."""
        projected = super().project(images, form)
        if self.mlp is None:
            return projected
        centred = images - self.mean if self.center else images
        more: Tensor = self.mlp(centred.flatten(0, -2))
        return projected + more.float().view(projected.shape)


class RegionMLP(nn.Module):
    """Two layers, with batch norm and a ReLU between them, drawn as torch does.

    Args:
        width: numbers of a feature.
        embed_size: D, the numbers that come out; D / 2 units are hidden.
    """

    def __init__(self, width: int, embed_size: int) -> None:
        super().__init__()
        hidden = max(1, embed_size // 2)
        self.layers = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, embed_size)])
        self.bns = nn.ModuleList([nn.BatchNorm1d(hidden)])

    def forward(self, features: Tensor) -> Tensor:
        """Return `(V, D)` of features `(V, F)`."""
        hidden: Tensor = self.bns[0](self.layers[0](features))
        output: Tensor = self.layers[1](functional.relu(hidden))
        return output
