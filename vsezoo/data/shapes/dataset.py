"""One split of the data set `shapes`."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vsezoo.data.shapes.captions import CAPTIONS_PER_SCENE, Caption, write_captions
from vsezoo.data.shapes.features import locate_regions, make_regions, make_vectors
from vsezoo.data.shapes.pictures import draw_scene
from vsezoo.data.shapes.scenes import SIDE, Scene, find_twin, make_scenes
from vsezoo.inputs import PairDataset

if TYPE_CHECKING:
    from PIL import Image

_MAKE_FEATURES = {"vector": make_vectors, "regions": make_regions}


class ShapesDataset(PairDataset):
    """The images and captions of one split.

    Attributes:
        scenes: the scenes of the images, `N` of them.
        mirrored: `(N,)` int64, the index of the image's mirrored twin, or -1.
        relational: `(M,)` bool, whether the caption is true of its image and false of the image's mirrored twin.
    """

    name = "shapes"

    def __init__(self, split: str, kind: str) -> None:
        self.split = split
        self.kind = kind
        self.scenes, written = write_split(split)
        self.captions: Sequence[str] = tuple(caption.text for group in written for caption in group)
        self.image_ids: Sequence[str] = tuple(scene.id for scene in self.scenes)
        self.image_of = np.repeat(np.arange(len(self.scenes), dtype=np.int64), CAPTIONS_PER_SCENE)
        self.mirrored = np.array([find_twin(index) for index in range(len(self.scenes))], dtype=np.int64)
        self.relational = np.array(
            [
                twin >= 0 and caption.relation is not None and not caption.relation.holds(self.scenes[twin])
                for group, twin in zip(written, self.mirrored, strict=True)
                for caption in group
            ]
        )
        self._features = None if kind == "picture" else _MAKE_FEATURES[kind](self.scenes)
        self.image_shape = (SIDE, SIDE, 3) if self._features is None else self._features.shape[1:]

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Return float32 features `(len(indices), *image_shape)`, or a list of RGB pictures."""
        if self._features is None:
            return [draw_scene(self.scenes[index]) for index in indices]
        return self._features[np.asarray(indices, dtype=np.int64)]

    def boxes(self, index: int) -> np.ndarray | None:
        """Return the boxes `(R, 4)` of the regions of an image, see `locate_regions`; None for other kinds."""
        return locate_regions(self.scenes[index]) if self.kind == "regions" else None

    def picture(self, index: int) -> Image.Image:
        """Return the picture of an image, whatever its kind."""
        return draw_scene(self.scenes[index])


@functools.cache
def write_split(split: str) -> tuple[tuple[Scene, ...], list[list[Caption]]]:
    """Return the scenes of a split and the captions of each, which all kinds of images share."""
    scenes = make_scenes(split)
    return scenes, [write_captions(scene) for scene in scenes]


@functools.cache
def open_split(split: str, kind: str) -> ShapesDataset:
    """Return the split, generated once per process and shared."""
    return ShapesDataset(split, kind)
