"""The boxes of region features: `SPLIT_ims_bbx.npy` beside `SPLIT_ims.npy`, as GSMN and RCAR name them.

It has the corners `(images, R, 4)` of each region: left, top, right, bottom, in pixels of the picture or as shares of
its width and height. The sizes of the pictures that these codes keep in `SPLIT_ims_size.npy` are pickled objects, which
are not read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vsezoo.errors import DataError

ENDING = "_ims_bbx.npy"


def read_boxes(stem: Path, row: int, rows: int) -> np.ndarray | None:
    """Return the boxes `(R, 4)` of a row of features, float64; None if there is no file of boxes.

    Args:
        stem: path of the files of the split, without suffixes.
        row: the row.
        rows: how many rows the features have.

    Raises:
        DataError: for a file that cannot be read, or does not have four numbers for each region of each row.
    """
    path = stem.with_name(f"{stem.name}{ENDING}")
    if not path.is_file():
        return None
    try:
        boxes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}.", file=path, remedy="Save it as an array of numbers.") from None
    if boxes.ndim != 3 or boxes.shape[2] != 4 or len(boxes) != rows or boxes.dtype.kind not in "fiu":
        raise DataError(
            f"has the shape {boxes.shape} and the type {boxes.dtype}; expected numbers ({rows}, regions, 4): left, "
            "top, right and bottom of each region of each row.",
            file=path,
            remedy=f"Save the boxes of the rows of {stem.name}_ims.npy in it, or remove it.",
        )
    return np.array(boxes[row], dtype=np.float64)
