"""Features of the data set `shapes`: a region is [appearance code | location code] plus a little noise.

The appearance code is a sum of random signs for the colour, the shape, the size, and the combination of colour and
shape, so that a mean over regions still identifies the objects. The location code is a smooth function of the position
in separate dimensions, so that a mean over regions loses which object is where.

Codes, noise and their sums are multiples of `GRID`, hence exact in float64: the bits depend neither on the order of
summation nor on how a machine computes a sine.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import product

import numpy as np

from vsezoo.data.shapes.pictures import RADIUS
from vsezoo.data.shapes.scenes import COLOURS, MAX_OBJECTS, SHAPES, SIDE, SIZES, Scene

APPEARANCE_WIDTH = 114
FREQUENCIES = (1, 2, 3)
LOCATION_WIDTH = 2 * (1 + 2 * len(FREQUENCIES))
WIDTH = APPEARANCE_WIDTH + LOCATION_WIDTH
LOCATION_SCALE = 2.0
NOISE = 0.2
"""Noise is uniform between minus and plus this value; dimensions of the appearance code have a variance of about 1."""
GRID = 2.0**-12

EMPTY = "empty background"
_CODED = (EMPTY, *COLOURS, *SHAPES, *SIZES, *product(COLOURS, SHAPES))
_SIGNS = np.random.RandomState(20).random_sample((len(_CODED), APPEARANCE_WIDTH)) < 0.5
_CODES = dict(zip(_CODED, np.where(_SIGNS, 0.5, -0.5), strict=True))


def make_regions(scenes: Sequence[Scene]) -> np.ndarray:
    """Return float32 `(N, MAX_OBJECTS, WIDTH)`: a region per object, then empty background, in random order."""
    rng = np.random.RandomState(0)
    regions = np.stack([_shuffle_rows(_describe_regions(scene, rng), rng) for scene in scenes])
    return regions.astype(np.float32)


def locate_regions(scene: Scene) -> np.ndarray:
    """Return the boxes `(MAX_OBJECTS, 4)` of the regions of a scene, in the order of `make_regions`.

    Left, top, right and bottom as shares of the picture; NaN for empty background.
    """
    boxes = np.full((MAX_OBJECTS, 4), np.nan)
    for box, thing in zip(boxes, scene.objects, strict=False):
        x, y, radius = thing.x + 0.5, thing.y + 0.5, RADIUS[thing.size] + 0.5
        box[:] = np.clip(np.array([x - radius, y - radius, x + radius, y + radius]) / SIDE, 0, 1)
    rng = np.random.RandomState(0)
    _describe_regions(scene, rng)
    return _shuffle_rows(boxes, rng)


def make_vectors(scenes: Sequence[Scene]) -> np.ndarray:
    """Return float32 `(N, WIDTH)`: the mean of the object regions, scaled to unit L2 norm."""
    rng = np.random.RandomState(0)
    sums = np.stack([_describe_regions(scene, rng)[: len(scene.objects)].sum(axis=0) for scene in scenes])
    vectors: np.ndarray = sums / np.sqrt(np.square(sums).sum(axis=1, keepdims=True))
    return vectors.astype(np.float32)


def encode_location(x: int, y: int) -> np.ndarray:
    """Return the location code `(LOCATION_WIDTH,)` of a pixel: for each axis u, sin(k pi u), cos(k pi u), k=1, 2, 3.

    u is the coordinate from -1 at one edge of the picture to 1 at the other.
    """
    axes = []
    for u in ((2 * x - SIDE) / SIDE, (2 * y - SIDE) / SIDE):
        angles = np.pi * u * np.array(FREQUENCIES)
        axes.append(np.concatenate([[u], np.sin(angles), np.cos(angles)]))
    return LOCATION_SCALE * _round_to_grid(np.concatenate(axes))


def _describe_regions(scene: Scene, rng: np.random.RandomState) -> np.ndarray:
    """Return float64 `(MAX_OBJECTS, WIDTH)` with the objects first.

    Args:
        scene: the scene.
        rng: is seeded here, and left ready for further draws; to make one takes longer than all else.
    """
    rng.seed(zlib.crc32(f"shapes/features/{scene.id}".encode()))
    regions = _round_to_grid(NOISE * (2 * rng.random_sample((MAX_OBJECTS, WIDTH)) - 1))
    for region, thing in zip(regions, scene.objects, strict=False):
        for part in (thing.colour, thing.shape, thing.size, (thing.colour, thing.shape)):
            region[:APPEARANCE_WIDTH] += _CODES[part]
        region[APPEARANCE_WIDTH:] += encode_location(thing.x, thing.y)
    regions[len(scene.objects) :, :APPEARANCE_WIDTH] += 2 * _CODES[EMPTY]
    return regions


def _shuffle_rows(rows: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    return rows[np.argsort(rng.random_sample(len(rows)))]


def _round_to_grid(values: np.ndarray) -> np.ndarray:
    return np.round(values / GRID) * GRID
