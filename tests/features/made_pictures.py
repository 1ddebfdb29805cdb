"""Pictures drawn from seeds and a backbone with fixed weights; no tests in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from vsezoo.backbones.backbone import Backbone
from vsezoo.backbones.options import GRID, BackboneOptions
from vsezoo.backbones.transform import PictureForm
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError
from vsezoo.features.extraction import SplitSummary, extract_features
from vsezoo.interfaces import PairDataset

SIDE, WIDTH, STRIDE = 16, 4, 8
SIZES = {"train": (2, 5, 1, 3, 5, 5, 4, 2, 1, 6, 5), "dev": (5, 5, 5)}
"""How many captions the images of each split have."""


class MadeBackbone(Backbone):
    """One convolution: a feature map of 4 x 2 x 2."""

    origin = "made"

    def __init__(self, **options: Any) -> None:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(5)
            network = nn.Conv2d(3, WIDTH, STRIDE, STRIDE)
        form = PictureForm(SIDE, SIDE, 1.0, "center", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")
        super().__init__("torchvision:made", BackboneOptions(**options), network, WIDTH, (), form)

    def extract(self, pictures: Tensor) -> Tensor:
        maps: Tensor = self.network(pictures)
        return maps if self.options.features == GRID else maps.mean(dim=(2, 3))

    def fetch(self) -> Mapping[str, Tensor]:
        return {}


class MadePictures(PairDataset):
    """Pictures of 20 x 24 pixels, with so many captions each; some of them cannot be read."""

    name, kind, image_shape = "made", "picture", ()

    def __init__(self, split: str, sizes: Sequence[int], bad: Sequence[int] = ()) -> None:
        self.split, self.bad = split, bad
        self.image_of = np.repeat(np.arange(len(sizes)), sizes)
        self.image_ids = [f"{split}{index}.jpg" for index in range(len(sizes))]
        self.captions = [f"caption {index} of {split}" for index in range(len(self.image_of))]

    def images(self, indices: Sequence[int] | np.ndarray) -> list[Image.Image]:
        for index in indices:
            if index in self.bad:
                raise DataError("cannot be decoded.", file=self.image_ids[index], remedy="Copy it again.")
        return [draw(self.split, int(index)) for index in indices]


def draw(split: str, index: int) -> Image.Image:
    rng = np.random.default_rng([len(split), index])
    return Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8))


def open_made(split: str, options: OpenOptions) -> MadePictures:
    return MadePictures(split, SIZES[split])


def extract(output: Path, **options: Any) -> list[SplitSummary]:
    """Extract the made pictures with the made backbone."""
    backbone = options.pop("backbone", None) or MadeBackbone()
    splits = options.pop("splits", tuple(SIZES))
    opened = options.pop("open_split", open_made)
    return extract_features(opened, splits, backbone, output, **{"workers": 0, **options})


def compute(split: str, **options: Any) -> np.ndarray:
    """Return the features of a split, one picture at a time."""
    backbone = MadeBackbone(**options)
    transform = backbone.transform(training=False)
    with torch.inference_mode():
        rows = [backbone(transform([draw(split, index)]))[0] for index in range(len(SIZES[split]))]
    return torch.stack(rows).numpy()
