"""Options of backbones, the same for all libraries."""

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
IMAGENET = "imagenet"  # the name of the pretrained weights in earlier versions
POOLED, GRID = "pooled", "grid"
LEAST_CROP = 0.05  # share of a picture's side; with less, the scaled picture would take too much memory
INTERPOLATIONS = tuple(mode.value for mode in InterpolationMode)


class WeightsName(Limit):
    """Allowed values of the option `weights`."""

    def allows(self, value: str) -> bool:
        """Return whether it is one of the words or a safetensors file."""
        return value in (PRETRAINED, NONE, IMAGENET) or value.endswith(".safetensors")

    def __str__(self) -> str:
        return f"{PRETRAINED}, {NONE} or a file that ends with .safetensors"


@dataclass(frozen=True)
class BackboneOptions:
    """The options of a backbone. 0, empty and None stand for the default of the backbone.

    Attributes:
        weights: weights of a new model. "pretrained": the library's pretrained weights; "none": random initialisation;
            else a safetensors file.
        features: form of the features. "pooled": one for each picture; "grid": the cells of the last feature map, row
            by row.
        image_size: side of the network's input in pixels.
        crop_size: the same in training; 0: `image_size`.
        crop_pct: `image_size` divided by the side that a picture is scaled to before its centre is cropped.
        crop_mode: how pictures are made square at test time. "center": the short side is scaled, the centre cropped;
            "squash": both sides are scaled, whatever their ratio.
        least_crop: in training, crop both sides to one share, drawn from this to 1, at a random place, and scale
            that to a square (VSE∞: 0.6). 0: crops of 8 to 100 % of the area, as ImageNet classifiers are trained.
        mean: mean of red, green and blue, from 0 to 1, which is subtracted.
        std: standard deviation of the colours, which they are divided by.
        interpolation: method of scaling, for example "bilinear" or "bicubic".
        crops: crops at test time. 1: the centre; 10: the four corners, the centre, and the mirror images of all five,
            whose features are averaged.
        scales: several values of crop_pct, each with its crops; their features are averaged.
        model_args: further arguments for the library's constructor, such as `{"pad_type": "same"}` for timm.

    Raises:
        RecipeError: for an invalid value.
    """

    weights: Annotated[str, WeightsName()] = PRETRAINED
    features: Annotated[str, OneOf(POOLED, GRID)] = POOLED
    image_size: Annotated[int, AtLeast(0)] = 0
    crop_size: Annotated[int, AtLeast(0)] = 0
    crop_pct: Annotated[float, Or(0, Between(LEAST_CROP, 1))] = 0.0
    crop_mode: Annotated[str, Or("", OneOf("center", "squash"))] = ""
    least_crop: Annotated[float, Between(0, 1)] = 0.0
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
                "features is grid, but the cells of several crops do not show the same places.",
                remedy="With features=grid, keep crops=1 and do not set scales.",
            )
