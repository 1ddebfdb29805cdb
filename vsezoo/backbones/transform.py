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
        crops: 1 or 10.
    """

    image_size: int
    crop_size: int
    crop_pct: float
    crop_mode: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str
    crops: int = 1

    def change(self, options: BackboneOptions) -> PictureForm:
        """Return the form with what the options say in place of the backbone's own."""
        names = ("image_size", "crop_size", "crop_pct", "mean", "std", "interpolation", "crops")
        given: dict[str, Any] = {name: value for name in names if (value := getattr(options, name))}
        given |= {name: tuple(map(float, given[name])) for name in ("mean", "std") if name in given}
        given.setdefault("crop_size", given.get("image_size", self.crop_size))
        return dataclasses.replace(self, **given)

    def describe(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**dataclasses.asdict(self), "mean": list(self.mean), "std": list(self.std)}


class PictureTransform:
    """Makes float32 pictures `(B, 3, S, S)` of a list of pictures, or `(B, 10, 3, S, S)` of ten crops.

    In training a random part, perhaps mirrored, drawn from torch's generator, as ImageNet classifiers are trained: 8 to
    100 % of the area, sides 3:4 to 4:3. Else the picture is scaled, and its middle, or ten crops, are cut out. A
    picture that says how it is to be turned (Exif) is turned first.

    Args:
        form: what the backbone wants.
        training: whether to draw the part.
    """

    def __init__(self, form: PictureForm, training: bool) -> None:
        self.form, self.training = form, training
        mode = InterpolationMode(form.interpolation)
        if training:
            steps: list[Callable[[Any], Any]] = [
                transforms.RandomResizedCrop(form.crop_size, interpolation=mode),
                transforms.RandomHorizontalFlip(),
            ]
        else:
            side = math.floor(form.image_size / form.crop_pct)
            cut = transforms.TenCrop if form.crops > 1 else transforms.CenterCrop
            steps = [
                transforms.Resize((side, side) if form.crop_mode == "squash" else side, mode),
                cut(form.image_size),
            ]
        self._cut = transforms.Compose(steps)

    def __call__(self, pictures: Any) -> Tensor:
        """Return the tensor.

        Raises:
            DataError: for what is no picture, or cannot be decoded.
        """
        cuts = [self._cut(_decode(picture)) for picture in pictures]
        parts = [part for cut in cuts for part in (cut if isinstance(cut, tuple) else (cut,))]
        # Rows, columns, colours: seen as (…, 3, S, S) this is the layout in which convolutions on a CPU are fastest.
        pixels = torch.from_numpy(np.stack([np.asarray(part) for part in parts])).movedim(-1, -3).float().div_(255)
        for numbers, change in ((self.form.mean, pixels.sub_), (self.form.std, pixels.div_)):
            change(torch.tensor(numbers)[:, None, None])
        ten = not self.training and self.form.crops > 1
        return pixels.reshape(-1, self.form.crops, *pixels.shape[1:]) if ten else pixels


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
