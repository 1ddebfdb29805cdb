"""Where the regions of an image are: boxes or cells of a grid, on its picture if there is one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from vsezoo.explanation.protocols import Box

WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Regions:
    """The regions of one image and their places.

    Attributes:
        count: R, how many there are.
        boxes: `(R, 4)` left, top, right, bottom, as shares of width and height, NaN for a region without a place; None:
            the regions have no places, or are cells.
        grid: rows and columns, if the regions are the cells of a grid, row by row.
        view: the part of the picture that the grid covers.
        picture: the picture, if it is known.
        aspect: width of the image divided by its height.
    """

    count: int
    boxes: np.ndarray | None = None
    grid: tuple[int, int] | None = None
    view: Box = WHOLE
    picture: Image.Image | None = None
    aspect: float = 1.0

    @property
    def has_places(self) -> bool:
        """Whether it is known where the regions are."""
        return self.boxes is not None or self.grid is not None

    def find_box(self, region: int) -> Box | None:
        """Return the box of a region; None if it has no place."""
        if self.boxes is not None:
            left, top, right, bottom = map(float, self.boxes[region])
            return None if math.isnan(left) else (left, top, right, bottom)
        if self.grid is None:
            return None
        rows, columns = self.grid
        row, column = divmod(region, columns)
        left, top, right, bottom = self.view
        width, height = (right - left) / columns, (bottom - top) / rows
        return left + column * width, top + row * height, left + (column + 1) * width, top + (row + 1) * height

    def describe(self, region: int) -> str:
        """Return the place of a region in words; empty if it has none."""
        if self.grid is not None:
            row, column = divmod(region, self.grid[1])
            return f"row {row + 1}, column {column + 1}"
        box = self.find_box(region)
        if box is None:
            return ""
        left, top, right, bottom = (f"{100 * share:.0f}" for share in box)
        return f"x {left}-{right} %, y {top}-{bottom} %"

    def to_json(self) -> dict[str, Any]:
        """Return counts and places as JSON values."""
        boxes = [self.find_box(region) for region in range(self.count)] if self.has_places else None
        return {"count": self.count, "grid": self.grid and list(self.grid), "boxes": boxes}


def scale_boxes(boxes: np.ndarray, size: tuple[int, int] | None) -> tuple[np.ndarray, float]:
    """Return boxes as shares of width and height, and the width divided by the height.

    Args:
        boxes: `(R, 4)`, in pixels, or already shares if none is above 1.
        size: width and height of the picture; None: unknown, then the boxes together are taken for the whole image.
    """
    known = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(known) or known.max() <= 1:
        return boxes, size[0] / size[1] if size else 1.0
    width, height = size or (known[:, [0, 2]].max(), known[:, [1, 3]].max())
    return boxes / np.array([width, height, width, height]), float(width / height)


def square_grid(count: int) -> tuple[int, int] | None:
    """Return the rows and columns of a square grid with so many cells; None if there is no such grid."""
    side = math.isqrt(count)
    return (side, side) if side > 1 and side * side == count else None
