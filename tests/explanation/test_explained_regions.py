"""Places of regions: boxes, cells, and the shares of pictures that they are."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vsezoo.backbones.options import BackboneOptions
from vsezoo.backbones.transform import PictureForm, PictureTransform
from vsezoo.explanation.regions import Regions, scale_boxes, square_grid


def test_cells_are_counted_row_by_row() -> None:
    regions = Regions(6, grid=(2, 3), view=(0.25, 0.0, 0.75, 1.0))
    assert regions.find_box(0) == pytest.approx((0.25, 0, 0.25 + 1 / 6, 0.5))
    assert regions.find_box(5) == pytest.approx((0.75 - 1 / 6, 0.5, 0.75, 1))
    assert regions.describe(4) == "row 2, column 2"
    assert regions.to_json()["grid"] == [2, 3]


def test_boxes() -> None:
    regions = Regions(2, boxes=np.array([[0.1, 0.2, 0.5, 1], [np.nan] * 4]))
    assert regions.find_box(0) == (0.1, 0.2, 0.5, 1)
    assert (regions.find_box(1), regions.describe(1)) == (None, "")
    assert regions.describe(0) == "x 10-50 %, y 20-100 %"
    assert regions.to_json()["boxes"] == [(0.1, 0.2, 0.5, 1), None]
    assert Regions(2).find_box(0) is None
    assert not Regions(2).has_places


def test_boxes_in_pixels_become_shares() -> None:
    boxes = np.array([[0.0, 10, 50, 20], [np.nan] * 4])
    shares, aspect = scale_boxes(boxes, (100, 40))
    np.testing.assert_allclose(shares[0], [0, 0.25, 0.5, 0.5])
    assert aspect == 2.5
    shares, aspect = scale_boxes(boxes, None)
    np.testing.assert_allclose(shares[0], [0, 0.5, 1, 1])
    assert aspect == 2.5
    same = np.array([[0, 0, 0.5, 1]])
    assert scale_boxes(same, (30, 20))[0] is same
    assert scale_boxes(np.full((1, 4), np.nan), None)[1] == 1


def test_square_grids() -> None:
    assert [square_grid(count) for count in (36, 1, 35)] == [(6, 6), None, None]


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("size", [(160, 80), (80, 120)])
def test_the_part_that_is_seen_is_the_part_that_the_transform_keeps(mode: str, size: tuple[int, int]) -> None:
    """A picture whose colours tell the place: the corners of what the backbone gets are those of the part."""
    form = PictureForm(32, 32, 0.5, mode, (0.0,) * 3, (1.0,) * 3, "bilinear")
    width, height = size
    across = np.broadcast_to((np.arange(width) + 0.5) / width, (height, width))
    down = np.broadcast_to(((np.arange(height) + 0.5) / height)[:, None], (height, width))
    picture = Image.fromarray(np.round(255 * np.stack([across, down, down], axis=2)).astype(np.uint8))
    (seen,) = PictureTransform(form, training=False)([picture])
    view = form.find_view(width, height)
    assert view is not None
    left, top, right, bottom = view
    half = (right - left) / 64, (bottom - top) / 64  # of a pixel
    assert seen[0, 0, 0] == pytest.approx(left + half[0], abs=0.01)
    assert seen[0, -1, -1] == pytest.approx(right - half[0], abs=0.01)
    assert seen[1, 0, 0] == pytest.approx(top + half[1], abs=0.01)
    assert seen[1, -1, -1] == pytest.approx(bottom - half[1], abs=0.01)


def test_several_crops_are_no_part() -> None:
    form = PictureForm(32, 32, 0.5, "center", (0.0,) * 3, (1.0,) * 3, "bilinear")
    assert form.change(BackboneOptions(crops=10)).find_view(80, 80) is None
