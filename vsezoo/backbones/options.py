"""What can be chosen about a backbone, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from torchvision.transforms import InterpolationMode

from vsezoo.errors import RecipeError
from vsezoo.pretrained.external import PRETRAINED
from vsezoo.recipe.options import Above, AtLeast, Between, Each, Limit, OneOf, Or
from vsezoo.recipe.signatures import read_options

NONE = "none"
IMAGENET = "imagenet"  # what earlier versions called the pretrained weights
POOLED, GRID = "pooled", "grid"
LEAST_CROP = 0.05  # of a picture's side; with less, the scaled picture takes more memory than there is
INTERPOLATIONS = tuple(mode.value for mode in InterpolationMode)


class WeightsName(Limit):
    """What the weights of a backbone may be called."""

    def allows(self, value: str) -> bool:
        """Tell whether it is one of the two words, or a file of the right kind."""
        return value in (PRETRAINED, NONE, IMAGENET) or value.endswith(".safetensors")

    def __str__(self) -> str:
        return f"{PRETRAINED}, {NONE} or a file that ends with .safetensors"


@dataclass(frozen=True)
class BackboneOptions:
    """The options of a backbone. What is 0, empty or None is the backbone's own.

    Attributes:
        weights: weights of a new model. "pretrained": those that its library has; "none": random initialisation; else
            a safetensors file.
        features: which features it gives. "pooled": one of a picture; "grid": the cells of the last feature map, row
            by row.
        image_size: side in pixels of what the network gets.
        crop_size: the same in training; 0: `image_size`.
        crop_pct: `image_size` as a part of the side that a picture is scaled to before its middle is cut out.
        mean: what is subtracted from the colours red, green and blue, which are from 0 to 1.
        std: what the colours are divided by.
        interpolation: how pictures are scaled, for example "bilinear" or "bicubic".
        crops: what is cut out at test time, 1: the middle, or 10: the four corners, the middle, and the mirror images
            of all five, whose features are averaged.
        scales: several values of crop_pct, to have crops of each; their features are averaged.
        model_args: further arguments of the library's constructor, such as `{"pad_type": "same"}` of timm.

    Raises:
        RecipeError: for a value that an option cannot have.
    """

    weights: Annotated[str, WeightsName()] = PRETRAINED
    features: Annotated[str, OneOf(POOLED, GRID)] = POOLED
    image_size: Annotated[int, AtLeast(0)] = 0
    crop_size: Annotated[int, AtLeast(0)] = 0
    crop_pct: Annotated[float, Or(0, Between(LEAST_CROP, 1))] = 0.0
    mean: Annotated[Sequence[float] | None, Each(length=3)] = None
    std: Annotated[Sequence[float] | None, Each(Above(0), length=3)] = None
    interpolation: Annotated[str, Or("", OneOf(*INTERPOLATIONS))] = ""
    crops: Annotated[int, OneOf(1, 10)] = 1
    scales: Annotated[Sequence[float] | None, Each(Between(LEAST_CROP, 1))] = None
    model_args: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for name, option in read_options(BackboneOptions).items():
            object.__setattr__(self, name, option.convert(getattr(self, name), name))
        if self.weights == IMAGENET:
            object.__setattr__(self, "weights", PRETRAINED)
        if self.features == GRID and (self.crops > 1 or self.scales):
            raise RecipeError(
                "features are a grid, but the cells of several crops are not of the same places.",
                remedy="With a grid of features, leave crops at 1, and scales out.",
            )
