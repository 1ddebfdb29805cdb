"""Where the regions of a named image are looked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from PIL import Image

import vsezoo
from vsezoo.data.precomputed.feature_record import MARK
from vsezoo.errors import DataError
from vsezoo.explanation.places import locate_regions
from vsezoo.interfaces import PairDataset
from vsezoo.search.queries import NamedImage, find_images


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of features, four regions for each image, with ids."""
    folder = tiny.write_data(tmp_path / "photos")
    for path in folder.glob("*_ims.npy"):
        np.save(path, np.load(path)[:, None].repeat(4, axis=1))
    (folder / "test_ids.txt").write_text("\n".join(f"photo-{index}" for index in range(20)), encoding="utf-8")
    return folder


def name(photos: Path, reference: str) -> NamedImage:
    def open_split() -> PairDataset:
        return vsezoo.open_data(photos, "test", kinds=("regions",))

    (found,) = find_images([reference], ("regions",), open_split)
    return found


def write_record(photos: Path, **transform: Any) -> None:
    values = {"image_size": 50, "crop_size": 50, "crop_pct": 0.5, "crop_mode": "center", "interpolation": "bilinear"}
    values |= {"mean": [0, 0, 0], "std": [1, 1, 1], "crops": 1, "scales": []} | transform
    settings = {"backbone": {"features": "grid", "transform": values}}
    record = {**MARK, "settings": settings, "splits": {"test": {}}}
    (photos / "features.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize("of_file", [False, True])
def test_the_grid_of_a_record(photos: Path, of_file: bool) -> None:
    image = name(photos, f"{photos / 'test_ims.npy'}:3" if of_file else "3")
    assert not locate_regions(image, 4).has_places
    write_record(photos)
    image = name(photos, f"{photos / 'test_ims.npy'}:3" if of_file else "3")
    assert locate_regions(image, 4).grid == (2, 2)
    assert not locate_regions(image, 5).has_places  # not the cells of a square

    pictures = photos.parent / "pictures" / "below"
    pictures.mkdir(parents=True)
    Image.new("RGB", (200, 100), "red").save(pictures / "photo-3.png")
    regions = locate_regions(image, 4, pictures.parent)
    assert regions.picture is not None
    assert (regions.picture.size, regions.aspect) == ((200, 100), 2)
    # The short side, of 100, becomes 100; the middle 50 are kept.
    assert regions.view == pytest.approx((0.375, 0.25, 0.625, 0.75))
    write_record(photos, crops=10)
    image = name(photos, f"{photos / 'test_ims.npy'}:3" if of_file else "3")
    assert not locate_regions(image, 4).has_places
    write_record(photos, crops="damaged", unknown=1)
    image = name(photos, f"{photos / 'test_ims.npy'}:3" if of_file else "3")
    assert not locate_regions(image, 4).has_places


@pytest.mark.parametrize("of_file", [False, True])
def test_boxes_beside_the_features(photos: Path, of_file: bool) -> None:
    boxes = np.tile(np.array([10, 20, 30, 40], dtype=np.float32), (20, 4, 1))
    boxes[3, 1] = [0, 0, 100, 50]
    np.save(photos / "test_ims_bbx.npy", boxes)
    image = name(photos, f"{photos / 'test_ims.npy'}:3" if of_file else "photo-3")
    regions = locate_regions(image, 4)
    assert regions.find_box(1) == (0, 0, 1, 1)
    assert regions.find_box(0) == pytest.approx((0.1, 0.4, 0.3, 0.8))
    assert regions.aspect == 2
    Image.new("RGB", (200, 100)).save(photos / "dog.jpg")
    regions = locate_regions(image, 4, photos / "dog.jpg")
    assert regions.find_box(1) == (0, 0, 0.5, 0.5)

    np.save(photos / "test_ims_bbx.npy", boxes[:5])
    with pytest.raises(DataError, match=r"bbx.npy: has the shape \(5, 4, 4\) and the type float32; expected .* \(20,"):
        locate_regions(image, 4)
    (photos / "test_ims_bbx.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"bbx\.npy: cannot be read"):
        locate_regions(image, 4)


def test_a_picture_that_is_not_there(photos: Path) -> None:
    image = name(photos, "3")
    with pytest.raises(DataError, match=r"has no picture 'photo-3', nor one .*\nName the picture itself"):
        locate_regions(image, 4, photos)
    (photos / "photo-3.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"photo-3.jpg: is not a picture.*\nConvert it to JPEG or PNG\.$"):
        locate_regions(image, 4, photos)


@pytest.mark.slow
def test_shapes_know_their_objects() -> None:
    data = vsezoo.open_data("shapes", "test", kinds=("regions",))
    (image,) = find_images(["2"], ("regions",), lambda: data)
    regions = locate_regions(image, 3)
    assert regions.picture is not None
    # "To the right of a small blue star is a big purple star", and there is a purple cross.
    colours = set()
    for region in range(3):
        box = regions.find_box(region)
        assert box is not None
        left, top, right, bottom = box
        colours.add(regions.picture.getpixel((round(32 * (left + right)), round(32 * (top + bottom)))))
    assert len(colours) == 2  # blue, and purple twice
    assert (255, 255, 255) not in colours
    vectors = vsezoo.open_data("shapes", "test", kinds=("vector",))
    assert vectors.boxes(2) is None  # type: ignore[attr-defined]
