"""From pictures to the tensor that a backbone takes: scaled, cut, with the colours that it was trained with."""

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
from torchvision.transforms import InterpolationMode

from vsezoo.backbones.options import BackboneOptions
from vsezoo.errors import DataError

ORIENTATION = 0x0112
"""The tag of Exif that says how a picture is to be turned."""


@dataclass(frozen=True)
class PictureForm:
    """What a backbone wants of pictures.

    Attributes:
        image_size: pixels of a side of what the network gets.
        crop_size: the same in training.
        crop_pct: `image_size` as a part of the side that pictures are scaled to.
        crop_mode: "center": the short side is scaled; "squash": both sides, whatever their ratio.
        mean: of the colours, from 0 to 1; subtracted.
        std: likewise; divided by.
        interpolation: the name of one of torchvision's.
        crops: 1 or 10, of each scale.
        scales: several values of crop_pct, each used in its place; empty: there is that one.
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

    def change(self, options: BackboneOptions) -> PictureForm:
        """Return the form with what the options say in place of the backbone's own."""
        names = ("image_size", "crop_size", "crop_pct", "mean", "std", "interpolation", "crops", "scales")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(options, name))}
        given |= {name: tuple(map(float, given[name])) for name in ("mean", "std", "scales") if name in given}
        given.setdefault("crop_size", given.get("image_size", self.crop_size))
        return dataclasses.replace(self, **given)

    def list_sides(self) -> list[int]:
        """Return the pixels of the sides that pictures are scaled to at test time."""
        return [math.floor(self.image_size / part) for part in self.scales or (self.crop_pct,)]

    def count_views(self) -> int:
        """Return how many crops are made of a picture at test time."""
        return self.crops * len(self.list_sides())

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        values = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


class PictureTransform:
    """Makes float32 pictures `(B, 3, S, S)` of a list of pictures, or `(B, C, 3, S, S)` of C crops of each.

    In training a random part, perhaps mirrored, drawn from torch's generator, as ImageNet classifiers are trained: 8 to
    100 % of the area, sides 3:4 to 4:3. Else the picture is scaled, to each of the scales in turn, and its middle, or
    ten crops, are cut out. A picture that says how it is to be turned (Exif) is turned first.

    Args:
        form: what the backbone wants.
        training: whether to draw the part.
    """

    def __init__(self, form: PictureForm, training: bool) -> None:
        self.form, self.training = form, training
        mode = InterpolationMode(form.interpolation)
        if training:
            random = transforms.RandomResizedCrop(form.crop_size, interpolation=mode)
            steps = [[random, transforms.RandomHorizontalFlip()]]
        else:
            crop = (transforms.TenCrop if form.crops > 1 else transforms.CenterCrop)(form.image_size)
            sides = [(side, side) if form.crop_mode == "squash" else side for side in form.list_sides()]
            steps = [[transforms.Resize(side, mode), crop] for side in sides]
        self._cuts: list[Callable[[Any], Any]] = list(map(transforms.Compose, steps))

    def __call__(self, pictures: Any) -> Tensor:
        """Return the tensor.

        Raises:
            DataError: for what is no picture, or cannot be decoded.
        """
        cuts = [cut(decoded) for decoded in map(_decode, pictures) for cut in self._cuts]
        parts = [part for cut in cuts for part in (cut if isinstance(cut, tuple) else (cut,))]
        # Rows, columns, colours: seen as (…, 3, S, S) this is the layout in which convolutions on a CPU are fastest.
        pixels = torch.from_numpy(np.stack([np.asarray(part) for part in parts])).movedim(-1, -3).float().div_(255)
        for numbers, change in ((self.form.mean, pixels.sub_), (self.form.std, pixels.div_)):
            change(torch.tensor(numbers)[:, None, None])
        views = 1 if self.training else self.form.count_views()
        return pixels.reshape(-1, views, *pixels.shape[1:]) if views > 1 else pixels


def _decode(picture: Any) -> Image.Image:
    if not isinstance(picture, Image.Image):
        raise DataError(
            f"the images are of type {type(picture).__name__}, but this model takes pictures.",
            remedy="Pass a list of PIL.Image.Image, or use a model for features.",
        )
    try:
        turned = picture if picture.getexif().get(ORIENTATION, 1) == 1 else ImageOps.exif_transpose(picture)
        return turned.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        name = getattr(picture, "filename", "") or None
        raise DataError(f"a picture cannot be decoded: {error}.", file=name, remedy="Mend or leave it out.") from error
