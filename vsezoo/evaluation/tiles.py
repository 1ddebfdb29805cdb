"""How the scores of a split are cut into tiles, so that each is computed once for both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np

MIN_SIDE = 16
"""Images and captions in a tile, where there are so many: a product with very few vectors runs in another kernel, in
which the scores of equal vectors may differ in the last bit by their place."""


@dataclass(frozen=True)
class Span:
    """Consecutive images or captions, of which a tile has the scores.

    All spans of a side are of one length, so that all tiles are the same product and equal vectors have equal scores in
    each. So they may overlap; each index is counted in one of them.

    Attributes:
        whole: all of them.
        counted: those that are counted in this span, among all images or captions.
        inner: those, among `whole`.
    """

    whole: slice
    counted: slice
    inner: slice


@dataclass(frozen=True)
class Tile:
    """The scores of a span of images and a span of captions.

    Attributes:
        images: rows.
        captions: columns.
        pairs: the counted captions whose images are counted here too, as indices among all captions.
        alone: whether no other tile has pairs of these images, or of these captions.
    """

    images: Span
    captions: Span
    pairs: np.ndarray
    alone: bool


def cut_tiles(image_of: np.ndarray, num_images: int, block_size: int) -> list[Tile]:
    """Return tiles of about `block_size` scores at most, those with pairs first.

    If the captions are in the order of their images, and an image has about as many as any other, each tile with pairs
    has all those of its images.

    Args:
        image_of: `(M,)` the image of each caption. Captions of one image are consecutive.
        num_images: N.
        block_size: scores of a tile; a side has at least `MIN_SIDE`.
    """
    num_captions, block_size = len(image_of), max(block_size, 4 * MIN_SIDE**2)
    number = max(1, ceil(sqrt(num_images * num_captions / block_size)))
    images = _cut(_divide(num_images, number))
    bounds = np.searchsorted(image_of, [span.counted.start for span in images] + [num_images])
    height, width = _length(images[0].whole), int(np.diff(bounds).max())
    if np.any(np.diff(image_of) < 0) or width < min(MIN_SIDE, num_captions) or height * width > 2 * block_size:
        bounds = _divide(num_captions, ceil(num_captions * height / block_size))
    captions = _cut(bounds)
    row_of, column_of = _number(images)[image_of], _number(captions)
    places = row_of * len(captions) + column_of
    counts = np.bincount(places, minlength=len(images) * len(captions))
    pairs = np.split(np.argsort(places, kind="stable"), counts.cumsum())
    grid = counts.reshape(len(images), len(captions)) > 0
    alone = (grid.sum(1, keepdims=True) == 1) & (grid.sum(0) == 1) & grid
    tiles = [
        Tile(rows, columns, pairs[row * len(captions) + column], bool(alone[row, column]))
        for row, rows in enumerate(images)
        for column, columns in enumerate(captions)
    ]
    return sorted(tiles, key=lambda tile: len(tile.pairs) == 0)


def _divide(count: int, number: int) -> np.ndarray:
    """Return the bounds of nearly equal parts, none of which is shorter than `MIN_SIDE`, if there are so many."""
    return np.linspace(0, count, max(1, min(number, count // MIN_SIDE)) + 1).astype(int)


def _cut(bounds: np.ndarray) -> list[Span]:
    length, last = int(np.diff(bounds).max()), int(bounds[-1])
    spans = []
    for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        begin = min(start, last - length)
        spans.append(Span(slice(begin, begin + length), slice(start, stop), slice(start - begin, stop - begin)))
    return spans


def _length(span: slice) -> int:
    return int(span.stop) - int(span.start)


def _number(spans: Sequence[Span]) -> np.ndarray:
    """Return the number of the span that each index is counted in."""
    return np.repeat(np.arange(len(spans)), [_length(span.counted) for span in spans])
