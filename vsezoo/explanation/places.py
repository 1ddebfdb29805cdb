"""Find where the regions of a named image are, and its picture: in the data set, or in files next to the features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vsezoo.backbones.options import GRID
from vsezoo.backbones.transform import PictureForm
from vsezoo.data.pictures.find import find_files
from vsezoo.data.pictures.picture_file import read_only_picture
from vsezoo.data.pictures.walk import ENDINGS
from vsezoo.data.precomputed.boxes import read_boxes
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.data.precomputed.feature_record import read_extraction
from vsezoo.errors import DataError
from vsezoo.explanation.protocols import LocatesRegions, ShowsPictures
from vsezoo.explanation.regions import Regions, scale_boxes, square_grid
from vsezoo.search.collection import FEATURES, FeatureRows
from vsezoo.search.queries import NamedImage

TRANSFORM = "backbone.transform."
"""What the dotted names of the transform begin with in the record of `vsezoo features`."""
UNREDUCED = 2**20
"""A side in pixels that no JPEG is reduced to."""


def locate_regions(image: NamedImage, count: int, pictures: Path | None = None) -> Regions:
    """Return the places of the regions of an image that was named on a command line.

    Boxes come from the data set or from `SPLIT_ims_bbx.npy`; a grid from the record that `vsezoo features` writes.

    Args:
        image: the image; not a picture file.
        count: R, the number of its regions.
        pictures: a folder in which the picture is looked for by the id of the image, or the picture itself; None: only
            the data set is asked.

    Raises:
        DataError: for a picture that is absent or cannot be read, or damaged boxes.
    """
    name, boxes, extraction = _read_record(image)
    picture = _find_picture(name, image, pictures)
    regions = Regions(count, picture=picture, aspect=picture.width / picture.height if picture else 1.0)
    if boxes is not None and len(boxes) == count:
        shares, aspect = scale_boxes(boxes, picture.size if picture else None)
        return replace(regions, boxes=shares, aspect=aspect)
    grid = square_grid(count) if extraction.get("backbone.features") == GRID else None
    if grid is None:
        return regions
    view = _find_view(extraction, picture.size if picture else (1, 1))
    if view is None:  # several crops, whose cells are averaged
        return regions
    return replace(regions, grid=grid, view=view) if picture else replace(regions, grid=grid)


def _read_record(image: NamedImage) -> tuple[str, np.ndarray | None, Mapping[str, Any]]:
    """Return the id of an image, the boxes of its regions and the settings of its extraction, as far as known."""
    if image.data is not None:
        boxes = image.data.boxes(image.row) if isinstance(image.data, LocatesRegions) else None
        return image.name, boxes, image.data.extraction
    path = Path(image.source)
    stem = path.with_name(path.name.removesuffix(FEATURES))
    boxes = read_boxes(stem, image.row, FeatureFile.open(path))
    return FeatureRows(path).ids[image.row], boxes, read_extraction(stem)


def _find_picture(name: str, image: NamedImage, pictures: Path | None) -> Image.Image | None:
    if pictures is None:
        found = image.data.picture(image.row) if isinstance(image.data, ShowsPictures) else None
        return found if isinstance(found, Image.Image) else None
    if not pictures.is_dir():
        return read_only_picture(pictures, short_side=UNREDUCED)  # boxes are in its pixels
    for candidate in (name, *(f"{name}{ending}" for ending in ENDINGS)):
        (file,) = find_files(pictures, [candidate])
        if file is not None:
            return read_only_picture(file, short_side=UNREDUCED)
    raise DataError(
        f"has no picture {name!r}, nor one of that name with the suffix of a picture.",
        file=pictures,
        remedy="Name the picture itself: --pictures FILE.jpg",
    )


def _find_view(extraction: Mapping[str, Any], size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return the part of a picture that was seen; None for several parts, or a record that does not say."""
    values = {name.removeprefix(TRANSFORM): value for name, value in extraction.items() if name.startswith(TRANSFORM)}
    try:
        return PictureForm(**values).find_view(*size)
    except (TypeError, ValueError, ZeroDivisionError):  # the record is a file that may have been edited
        return None
