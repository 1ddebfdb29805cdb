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

from vsezoo.batch import RegionSets
from vsezoo.encoders.pooling import MeanPooling
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
            block = data.images(np.arange(start, min(start + FIT_BLOCK, count)))
            if isinstance(block, list):  # of images with different numbers of regions
                total += np.stack([image.mean(axis=0, dtype=np.float64) for image in block]).sum(axis=0)
            else:
                total += block.reshape(len(block), -1, block.shape[-1]).mean(axis=1, dtype=np.float64).sum(axis=0)
        self.mean.copy_(torch.from_numpy(total / count))

    def transform(self, training: bool) -> Callable[[Any], Tensor | RegionSets]:
        """Return a function that converts rows of features to a float32 tensor."""
        return to_tensor

    def project(self, images: Tensor, form: tuple[str, ...]) -> Tensor:
        """Return `W φ + b` of features `(*form, F)`, float32; see `prepare`."""
        # Scaled in float32: eight bits of mantissa would blur the cosines.
        projected: Tensor = self.fc(self.prepare(images, form)).float()
        return projected

    def prepare(self, images: Tensor, form: tuple[str, ...]) -> Tensor:
        """Return features `(*form, F)`, centred if `center` is set.

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
            raise DataError("the images have no regions.", remedy=NO_REGIONS)
        return images - self.mean if self.center else images

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
    replayable = True

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

    def transform(self, training: bool) -> Callable[[Any], Tensor | RegionSets]:
        """Return a function that converts features to a float32 tensor, or to sets if they are averaged."""
        return to_sets if self.pool == "mean" else to_tensor

    def forward(self, images: Tensor | RegionSets) -> Tensor:
        """Return joint embeddings `(B, D)` of features `(B, F)`, or of regions `(B, R, F)` to be pooled."""
        features, lengths = unpack_sets(images)
        if features.dim() == 3 and self.pool == "mean":
            features = MeanPooling()(features, lengths)
        return self.finish(self.project(features, ("images",)))


INITS: dict[str, Callable[[Tensor], Tensor]] = {
    "xavier_uniform": nn.init.xavier_uniform_,
    "xavier_normal": functools.partial(nn.init.xavier_normal_, gain=math.sqrt(3)),
}
FIT_BLOCK = 256  # images read at a time for the mean
NO_REGIONS = "Leave out images without any, or extract them again."


def to_sets(features: Any) -> Tensor | RegionSets:
    """Return features as `to_tensor` does; a list of arrays `(R_i, F)` becomes padded sets.

    Raises:
        DataError: for an image without regions, or one of another width.
    """
    if not _is_list_of_sets(features):
        return to_tensor(features)
    if empty := [index for index, image in enumerate(features) if not len(image)]:
        raise DataError(f"the image at index {empty[0]} has no regions.", remedy=NO_REGIONS)
    if len({image.shape[-1] for image in features}) > 1:
        raise DataError("The images have features of different widths.", remedy="Extract all with one network.")
    return RegionSets.pad(features)


def unpack_sets(images: Tensor | RegionSets) -> tuple[Tensor, Tensor | None]:
    """Return the features `(B, R, F)` of images, and how many regions each has, `(B,)`; None: all have R."""
    return (images.features, images.lengths) if isinstance(images, RegionSets) else (images, None)


def _is_list_of_sets(features: Any) -> bool:
    return isinstance(features, list) and all(isinstance(image, np.ndarray) and image.ndim == 2 for image in features)


def to_tensor(features: Any) -> Tensor:
    """Return an array of float16 or float32 features as a new float32 tensor.

    Raises:
        DataError: for images with different numbers of regions, or anything else that is not an array.
    """
    if _is_list_of_sets(features) and len(counts := {len(image) for image in features}) > 1:
        raise DataError(
            f"the images have different numbers of regions, here {min(counts)} to {max(counts)}; this image encoder "
            "takes the same number of each.",
            remedy="Use an encoder of sets of any size, such as regions, or extract a fixed number of regions.",
        )
    try:
        with np.errstate(over="ignore"):  # values beyond float32 become infinite, and encode_images refuses them
            return torch.from_numpy(np.array(features, dtype=np.float32))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The images are not an array of features: {error}.", remedy="Pass features (images, F)."
        ) from None
