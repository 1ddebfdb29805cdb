"""Image encoder for precomputed CNN features: one linear layer to the joint space (VSE++; Kiros et al. 2014)."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.errors import DataError, RecipeError
from vsezoo.interfaces import ImageEncoder, PairDataset
from vsezoo.recipe.options import AtLeast, OneOf


class FeatureImageEncoder(ImageEncoder):
    """`W φ + b` of each feature φ: shared by the encoders for single features and for regions.

    Args:
        embed_size: D, the width of the joint embedding.
        img_dim: F, the width of a feature.
        normalize: scale embeddings to unit L2 norm; False is VSE++'s `--no_imgnorm`.
        use_abs: take absolute values at the end, as in order-embeddings.
        center: subtract the mean feature of the training images first. Not in the papers: features after a ReLU
            share a large mean, which makes all embeddings similar at first and hides their differences.
        init: initialisation of W. "xavier_uniform": U(-r, r) with r = √(6 / (F + D)); "xavier_normal": N(0, r²),
            √3 times as wide (linxd5's VSE_Pytorch).

    Raises:
        RecipeError: for an invalid option.
    """

    mean: Tensor
    normalize_in_training = True

    def __init__(
        self,
        *,
        embed_size: int,
        img_dim: Annotated[int, AtLeast(1)] = 2048,
        normalize: bool = True,
        use_abs: bool = False,
        center: bool = False,
        init: Annotated[str, OneOf(*INITS)] = "xavier_uniform",
    ) -> None:
        super().__init__()
        self.normalize, self.use_abs, self.center = normalize, use_abs, center
        self.fc = nn.Linear(img_dim, embed_size)
        INITS[init](self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        if center:
            self.register_buffer("mean", torch.zeros(img_dim))

    @classmethod
    def resolve_options(cls, options: Mapping[str, Any], data: PairDataset) -> dict[str, Any]:
        """Take the width of a feature from the data."""
        width = data.image_shape[-1]
        if options.get("img_dim", width) != width:
            raise RecipeError(
                f"image_encoder.img_dim is {options['img_dim']}, but the features of {data.name} are {width} wide.",
                remedy="Remove img_dim: it is taken from the data.",
            )
        return {**options, "img_dim": width}

    def fit(self, data: PairDataset) -> None:
        """Compute the mean feature of the images, in blocks, if `center` is set."""
        if not self.center:
            return
        total = np.zeros(data.image_shape[-1], dtype=np.float64)
        count = len(data.image_ids)
        for start in range(0, count, FIT_BLOCK):
            block = np.asarray(data.images(np.arange(start, min(start + FIT_BLOCK, count))))
            total += block.reshape(len(block), -1, block.shape[-1]).mean(axis=1, dtype=np.float64).sum(axis=0)
        self.mean.copy_(torch.from_numpy(total / count))

    def transform(self, training: bool) -> Callable[[Any], Tensor]:
        """Return a function that converts rows of features to a float32 tensor."""
        return to_tensor

    def project(self, images: Tensor, form: tuple[str, ...]) -> Tensor:
        """Return `W φ + b` of features `(*form, F)`, float32.

        Raises:
            DataError: for features of another shape.
        """
        if images.dim() != len(form) + 1 or images.shape[-1] != self.fc.in_features:
            raise DataError(
                f"the images have the shape {tuple(images.shape)}, but this model takes features of "
                f"({', '.join(form)}, {self.fc.in_features}).",
                remedy="Use the features that it was trained on, or features of the same width.",
            )
        if not images.shape[1:-1].numel():
            raise DataError(
                "the images have no regions.", remedy="Leave out images without any, or extract them again."
            )
        if self.center:
            images = images - self.mean
        # Scaled in float32: eight bits of mantissa would blur the cosines.
        projected: Tensor = self.fc(images).float()
        return projected

    def finish(self, embeddings: Tensor) -> Tensor:
        """Return the joint embeddings `(B, D)` of images `(B, D)`; one of zeros stays so."""
        if self.normalize and (self.normalize_in_training or not self.training):
            embeddings = functional.normalize(embeddings, dim=-1)
        return embeddings.abs() if self.use_abs else embeddings


class PrecomputedImageEncoder(FeatureImageEncoder):
    """`f(i) = W φ(i) + b`, then unit L2 norm (Faghri et al. 2018, section 3.1).

    Args:
        embed_size: D, the width of the joint embedding.
        img_dim: F, the width of a feature.
        normalize_in_training: scale them in training, too; False: at test time alone, as the Theano release of Kiros
            et al. (2014) does.
        pool: "mean" averages the regions of an image; "none" takes one feature for each image.
        **of_features: the options of `FeatureImageEncoder`.

    Raises:
        RecipeError: for a value that an option cannot have.
    """

    kinds: ClassVar[tuple[str, ...]] = ("vector",)
    gives = "vectors"
    region_order = "invariant"

    def __init__(
        self,
        *,
        embed_size: int,
        img_dim: Annotated[int, AtLeast(1)] = 4096,
        normalize_in_training: bool = True,
        pool: Annotated[str, OneOf("none", "mean")] = "none",
        **of_features: Any,
    ) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim, **of_features)
        self.normalize_in_training, self.pool = normalize_in_training, pool

    @classmethod
    def accepted_kinds(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the forms of image that an encoder with these options takes."""
        return ("regions", "vector") if options.get("pool") == "mean" else cls.kinds

    def forward(self, images: Tensor) -> Tensor:
        """Return joint embeddings `(B, D)` of features `(B, F)`, or of regions `(B, R, F)` to be pooled."""
        if images.dim() == 3 and self.pool == "mean":
            images = images.mean(dim=1)
        return self.finish(self.project(images, ("images",)))


INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": functools.partial(nn.init.xavier_normal_, gain=math.sqrt(3)),
}
FIT_BLOCK = 256  # images read at a time for the mean


def to_tensor(features: Any) -> Tensor:
    """Return an array of float16 or float32 features as a new float32 tensor."""
    try:
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, and encode_images refuses them
            return torch.from_numpy(np.array(features, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The images are not an array of features: {error}.", remedy="Pass features (images, F)."
        ) from None
