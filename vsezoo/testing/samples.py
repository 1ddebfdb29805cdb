"""Synthetic images and captions for checks: few, small, and in every form that a part may meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from vsezoo.batch import Embeddings
from vsezoo.data.view import PairView
from vsezoo.inputs import PairDataset

CAPTIONS = (
    "a dog runs .",
    "two red balls",
    "the dog has a ball",
    "snow",
    "a man 's hat , a dog",
    "a red dog runs to two balls in the snow",
    "the man has two hats",
    "a ball in the snow",
)
IMAGES = 6
SHAPES: dict[str, tuple[int, ...]] = {"vector": (12,), "regions": (4, 12), "picture": (48, 40, 3)}
"""The shape of a synthetic image of each kind."""


class SamplePairs(PairDataset):
    """Six random images from a seed, with one to three captions each.

    Args:
        kind: one of `vsezoo.interfaces.KINDS`.
        captions: assigned to the images in turn.
    """

    name = "samples"
    split = "train"

    def __init__(self, kind: str = "vector", captions: Sequence[str] = CAPTIONS) -> None:
        self.kind, self.image_shape = kind, SHAPES[kind]
        self.image_of = np.repeat(np.arange(IMAGES), [1, 2, 3, 1, 2, 3])
        self.captions = [captions[index % len(captions)] for index in range(len(self.image_of))]
        self.image_ids = [f"image-{index}" for index in range(IMAGES)]
        drawn = np.random.default_rng(0)
        if kind == "picture":
            self._drawn = drawn.integers(0, 256, (IMAGES, *self.image_shape), dtype=np.uint8)
        else:
            self._drawn = drawn.normal(size=(IMAGES, *self.image_shape)).astype(np.float32)

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Return float32 features `(len(indices), *image_shape)`, or a list of RGB pictures."""
        chosen = self._drawn[np.asarray(indices, dtype=np.int64)]
        return list(map(Image.fromarray, chosen)) if self.kind == "picture" else chosen


class FirstPairs(PairView):
    """The first images of a split, each with the first of its captions: a batch without two captions of one image."""

    def __init__(self, data: PairDataset, images: int) -> None:
        super().__init__(data)
        first = np.unique(data.image_of, return_index=True)[1][:images]
        self._images = data.image_of[first]
        self.places = [data.places[index] for index in self._images] if data.places else ()
        self.captions = [data.captions[index] for index in first]
        self.image_ids = [data.image_ids[index] for index in self._images]
        self.image_of = np.arange(len(first))

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Return the images of these indices."""
        return self.data.images(self._images[np.asarray(indices, dtype=np.int64)])


def pad_with_noise(side: Embeddings) -> Embeddings:
    """Return larger sets with noise after the last item, which the lengths exclude; vectors as they are."""
    if side.items is None:
        return side
    noise = torch.randn(len(side), 2, side.items.shape[2], generator=torch.Generator().manual_seed(2))
    return Embeddings(side.embeddings, torch.cat([side.items, noise], dim=1), side.counts)
