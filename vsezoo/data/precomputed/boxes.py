"""The boxes of region features: `SPLIT_ims_bbx.npy` next to `SPLIT_ims.npy`, as GSMN and RCAR name them.

It has the corners `(images, R, 4)` of each region: left, top, right, bottom, in pixels of the picture or as shares of
its width and height; with features `(all regions, F)` they are `(all regions, 4)`. In a file of several arrays they
have one of the names in `region_counts`. The sizes of the pictures that these codes keep in
`SPLIT_ims_size.npy` are pickled objects, which are not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.data.precomputed.region_counts import BOXES, read_beside
from vsezoo.errors import DataError

ENDING = "_ims_bbx.npy"


def read_boxes(stem: Path, row: int, features: FeatureFile) -> np.ndarray | None:
    """Return the boxes `(R, 4)` of a row of features, float64; None if there are no boxes.

    Args:
        stem: path of the files of the split, without suffixes.
        row: the row.
        features: the features of the split.

    Raises:
        DataError: for a file that cannot be read, or does not have four numbers for each region of each row.
    """
    path = stem.with_name(f"{stem.name}{ENDING}")
    if path.is_file():
        try:
            boxes = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot be read: {error}.", file=path, remedy="Save it as an array of numbers.") from None
    else:
        path = features.path
        found = read_beside(path, BOXES) or read_beside(features.content, BOXES)
        if found is None:
            return None
        boxes = found[1]
    stored = features.stored or features.shape
    rows = stored[0]
    is_flat = features.sets is not None and len(stored) == 2
    if boxes.ndim != 3 - is_flat or boxes.shape[-1] != 4 or len(boxes) != rows or boxes.dtype.kind not in "fiu":
        raise DataError(
            f"has the shape {boxes.shape} and the type {boxes.dtype}; expected numbers ({rows}, "
            f"{'4' if is_flat else 'regions, 4'}): left, top, right and bottom of each region of each row.",
            file=path,
            remedy=f"Save the boxes of the rows of {features.path.name} in it, or remove it.",
        )
    chosen = boxes[row] if features.sets is None else features.sets.take(boxes, row)
    return np.array(chosen, dtype=np.float64)
