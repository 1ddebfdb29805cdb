"""What can be chosen about a backbone, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torchvision.transforms import InterpolationMode

from vsezoo.errors import RecipeError, suggest_name

PRETRAINED, NONE = "pretrained", "none"
POOLED, GRID = "pooled", "grid"
CROPS = (1, 10)
LEAST_CROP = 0.05  # of a picture's side; with less, the scaled picture takes more memory than there is
INTERPOLATIONS = tuple(mode.value for mode in InterpolationMode)


@dataclass(frozen=True)
class BackboneOptions:
    """The options of a backbone. What is 0, empty or None is the backbone's own.

    Attributes:
        weights: "pretrained": those that its library has of it; "none": drawn ones; else a safetensors file.
        features: "pooled": one feature of a picture; "grid": the cells of the last feature map, row by row.
        image_size: pixels of a side of what the network gets.
        crop_size: the same in training; 0: `image_size`.
        crop_pct: `image_size` as a part of the side that a picture is scaled to before its middle is cut out.
        mean: of the colours red, green and blue, from 0 to 1; subtracted.
        std: likewise; divided by.
        interpolation: how pictures are scaled, for example "bilinear" or "bicubic".
        crops: what is cut out at test time: 1, the middle; 10, the four corners, the middle, and the mirror images of
            all five, whose features are averaged.
        scales: several values of crop_pct, to have crops of each; their features are averaged.
        model_args: further arguments of the library's constructor, such as `{"pad_type": "same"}` of timm.

    Raises:
        RecipeError: for a value that an option cannot have.
    """

    weights: str = PRETRAINED
    features: str = POOLED
    image_size: int = 0
    crop_size: int = 0
    crop_pct: float = 0.0
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    interpolation: str = ""
    crops: int = 1
    scales: Sequence[float] | None = None
    model_args: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.weights not in (PRETRAINED, NONE) and not self.weights.endswith(".safetensors"):
            raise RecipeError(
                f"weights is {self.weights!r}; it must be {PRETRAINED}, {NONE} or a file that ends with .safetensors."
            )
        for name in ("image_size", "crop_size"):
            if getattr(self, name) < 0:
                raise RecipeError(f"{name} is {getattr(self, name)}; it must be a number of pixels, or 0.")
        if self.crop_pct != 0 and not LEAST_CROP <= self.crop_pct <= 1:
            raise RecipeError(f"crop_pct is {self.crop_pct}; it must be from {LEAST_CROP} to 1, or 0.")
        for name, choices in (("features", (POOLED, GRID)), ("crops", CROPS)):
            if getattr(self, name) not in choices:
                listing = " or ".join(map(str, choices))
                raise RecipeError(f"{name} is {getattr(self, name)!r}; it must be {listing}.")
        if self.interpolation and self.interpolation not in INTERPOLATIONS:
            raise RecipeError(
                f"interpolation is {self.interpolation!r}; it must be one of {', '.join(INTERPOLATIONS)}.",
                remedy=suggest_name(self.interpolation, INTERPOLATIONS),
            )
        for name in ("mean", "std"):
            _require_colours(name, getattr(self, name))
        if self.model_args is not None and not isinstance(self.model_args, Mapping):
            raise RecipeError(
                f"model_args is {self.model_args!r}; it must be an object.", remedy='Example: {"pad_type": "same"}'
            )
        _require_scales(self.scales)
        if self.features == GRID and (self.crops > 1 or self.scales):
            raise RecipeError(
                "features are a grid, but the cells of several crops are not of the same places.",
                remedy="With a grid of features, leave crops at 1, and scales out.",
            )


def _require_scales(value: Any) -> None:
    numbers = isinstance(value, Sequence) and all(type(number) in (int, float) for number in value)
    if value is not None and not (numbers and value and all(LEAST_CROP <= number <= 1 for number in value)):
        raise RecipeError(
            f"scales is {value!r}; it must be numbers from {LEAST_CROP} to 1.", remedy="Example: scales=[0.875, 0.7]"
        )


def _require_colours(name: str, value: Any) -> None:
    if value is None:
        return
    numbers = isinstance(value, Sequence) and all(type(number) in (int, float) for number in value)
    if not numbers or len(value) != 3 or (name == "std" and min(value) <= 0):
        raise RecipeError(
            f"{name} is {value!r}; it must be three numbers{', all above 0' if name == 'std' else ''}.",
            remedy=f"Example: {name}=[0.5, 0.5, 0.5]",
        )
