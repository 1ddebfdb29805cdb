"""The transform from pictures to the input of a backbone: scaled, cropped, with normalised colours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import InterpolationMode, functional

from vsezoo.backbones.options import BackboneOptions
from vsezoo.errors import DataError
from vsezoo.storage.colours import convert_to_rgb

ORIENTATION = 0x0112
"""The Exif tag of the orientation of a picture."""


@dataclass(frozen=True)
class PictureForm:
    """How pictures are prepared for a backbone.

    Attributes:
        image_size: side of the network's input in pixels.
        crop_size: the same in training.
        crop_pct: `image_size` divided by the side that pictures are scaled to.
        crop_mode: "center": scale the short side; "squash": scale both sides, ignoring their ratio.
        mean: mean of the colours, from 0 to 1; subtracted.
        std: their standard deviation; divided by.
        interpolation: name of an interpolation mode of torchvision.
        crops: 1 or 10, at each scale.
        scales: several values used in the place of crop_pct; empty: only crop_pct.
        least_crop: smallest share of both sides that a random crop keeps; 0: random crops as of ImageNet classifiers.
    """

    image_size: int
    crop_size: int
    crop_pct: float
    crop_mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crops: int = 1
    scales: tuple[float, ...] = ()
    least_crop: float = 0.0

    def change(self, options: BackboneOptions) -> PictureForm:
        """Return the form with the options in the place of the backbone's defaults."""
        names = [field.name for field in dataclasses.fields(self)]
        given: dict[str, Any] = {name: value for name in names if (value := getattr(options, name))}
        given |= {name: tuple(map(float, given[name])) for name in ("mean", "std", "scales") if name in given}
        given.setdefault("crop_size", given.get("image_size", self.crop_size))
        return dataclasses.replace(self, **given)

    def list_sides(self) -> list[int]:
        """Return the sides in pixels that pictures are scaled to at test time."""
        return [math.floor(self.image_size / part) for part in self.scales or (self.crop_pct,)]

    def count_views(self) -> int:
        """Return the number of crops of a picture at test time."""
        return self.crops * len(self.list_sides())

    def find_view(self, width: int, height: int) -> tuple[float, float, float, float] | None:
        """Return the part of a picture that its one crop at test time shows; None for several crops.

        Args:
            width: of the picture, in pixels.
            height: likewise.

        Returns:
            left, top, right and bottom, as shares of width and height; outside 0 to 1 where the crop is padded.
        """
        if self.count_views() > 1:
            return None
        (side,) = self.list_sides()
        short = min(width, height)
        scaled = (side, side) if self.crop_mode == "squash" else (side * width / short, side * height / short)
        left, top = ((1 - self.image_size / length) / 2 for length in scaled)
        return left, top, 1 - left, 1 - top

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = dataclasses.asdict(self)
        if not self.least_crop:  # which descriptions of earlier versions do not have
            del values["least_crop"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


class PictureTransform:
    """Turns a list of pictures into float32 tensors `(B, 3, S, S)`, or `(B, C, 3, S, S)` with C crops of each.

    In training, a random crop with a random flip, drawn from torch's generator, as ImageNet classifiers are trained: 8
    to 100 % of the area, sides 3:4 to 4:3; or, with `least_crop`, of the picture's own shape. At test time, the picture
    is scaled to each of the scales, and its centre or ten crops are taken. The Exif orientation is applied first.

    Args:
        form: how pictures are prepared.
        training: whether to take random crops.
    """

    def __init__(self, form: PictureForm, training: bool) -> None:
        self.form, self.training = form, training
        mode = InterpolationMode(form.interpolation)
        if training:
            random: Callable[[Any], Any] = transforms.RandomResizedCrop(form.crop_size, interpolation=mode)
            if form.least_crop:
                random = SharedCrop(form.crop_size, form.least_crop, mode)
            steps = [[random, transforms.RandomHorizontalFlip()]]
        else:
            crop = (transforms.TenCrop if form.crops > 1 else transforms.CenterCrop)(form.image_size)
            sides = [(side, side) if form.crop_mode == "squash" else side for side in form.list_sides()]
            steps = [[transforms.Resize(side, mode), crop] for side in sides]
        self._cuts: list[Callable[[Any], Any]] = list(map(transforms.Compose, steps))

    def __call__(self, pictures: Any) -> Tensor:
        """Return the tensor.

        Raises:
            DataError: for an object that is not a picture, or cannot be decoded.
        """
        cuts = [cut(decoded) for decoded in map(decode_picture, pictures) for cut in self._cuts]
        parts = [part for cut in cuts for part in (cut if isinstance(cut, tuple) else (cut,))]
        # Stored as rows, columns, colours; viewed as (…, 3, S, S) this is the fastest layout for convolutions on a CPU.
        pixels = torch.from_numpy(np.stack([np.asarray(part) for part in parts])).movedim(-1, -3).float().div_(255)
        for numbers, change in ((self.form.mean, pixels.sub_), (self.form.std, pixels.div_)):
            change(torch.tensor(numbers)[:, None, None])
        views = 1 if self.training else self.form.count_views()
        return pixels.reshape(-1, views, *pixels.shape[1:]) if views > 1 else pixels


class SharedCrop:
    """Crops both sides of a picture to one random share, at a random place, and scales that to a square (VSE∞).

    Args:
        size: of the square, in pixels.
        least: the smallest share.
        mode: of scaling.
    """

    def __init__(self, size: int, least: float, mode: InterpolationMode) -> None:
        self.size, self.least, self.mode = size, least, mode

    def __call__(self, picture: Image.Image) -> Image.Image:
        """Return the square."""
        share, left, top = torch.rand(3).tolist()
        share = self.least + (1 - self.least) * share
        width, height = (max(1, round(share * side)) for side in picture.size)
        place = round(top * (picture.height - height)), round(left * (picture.width - width))
        square: Image.Image = functional.resized_crop(picture, *place, height, width, [self.size] * 2, self.mode)
        return square


def decode_picture(picture: Any) -> Image.Image:
    """Return a picture as RGB, turned as its Exif orientation says; transparent pixels become white.

    Raises:
        DataError: for an object that is not a picture, or cannot be decoded.
    """
    if not isinstance(picture, Image.Image):
        raise DataError(
            f"the images are of type {type(picture).__name__}, but this model takes pictures.",
            remedy="Pass a list of PIL.Image.Image, or use a model for features.",
        )
    try:
        turned = picture if picture.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(picture)
        return convert_to_rgb(turned)
    except (OSError, SyntaxError, ValueError) as error:
        name = getattr(picture, "filename", "") or None
        raise DataError(
            f"a picture cannot be decoded: {error}.", file=name, remedy="Fix it or leave it out."
        ) from error
