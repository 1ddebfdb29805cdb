"""The regions of an image that a detector found, as the records of its files have them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

FEATURES = ("features", "feature", "feat", "feats", "image_features", "roi_features", "x")
BOXES = ("boxes", "bbox", "bboxes", "box", "rois", "norm_bb", "bbox_feats")
COUNTS = ("num_boxes", "num_bbox", "num_box", "num_regions", "nbb")
"""Keys of a record, the first choice first."""
CORNERS = 4

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class Detections:
    """The regions of an image.

    Attributes:
        features: `(R, F)` float32 or float16.
        boxes: `(R, 4)` float32, left, top, right and bottom; None if the record has none.
    """

    features: Array
    boxes: Array | None

    @classmethod
    def read(cls, record: Mapping[Any, Any]) -> Detections:
        """Read a record: `features`, `boxes` and `num_boxes`, each an array or the base64 of float32.

        Raises:
            ValueError: for a record that is damaged or has no features, with the reason.
        """
        by_name = {name.decode(errors="replace") if isinstance(name, bytes) else name: record[name] for name in record}
        features = _find(by_name, FEATURES)
        if features is None:
            raise ValueError(f"no features; it has {', '.join(map(str, by_name)) or 'nothing'}")
        count = _find(by_name, COUNTS)
        rows = _as_rows(features, None if count is None else int(count), "features")
        boxes = _find(by_name, BOXES)
        corners = None if boxes is None else _as_rows(boxes, len(rows), "boxes")
        if corners is not None and corners.shape[1] != CORNERS:
            raise ValueError(f"boxes of {corners.shape[1]} numbers, not four")
        if rows.dtype != np.float16:
            rows = rows.astype(np.float32, copy=False)
        return cls(rows, None if corners is None else corners.astype(np.float32))


def _find(record: Mapping[Any, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _as_rows(value: Any, count: int | None, name: str) -> Array:
    """Return an array `(count, width)`."""
    if isinstance(value, str | bytes):
        try:
            value = np.frombuffer(base64.b64decode(value, validate=True), np.dtype("<f4"))
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{name} that are not the base64 of float32: {error}") from None
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} of type {array.dtype}")
    if count == 0 or not array.size:
        raise ValueError("no region")
    if array.ndim == 1 and count and len(array) % count == 0:
        array = array.reshape(count, -1)
    elif array.ndim == 1 and count:
        raise ValueError(f"{len(array):,} numbers of {name}, which {count} regions do not divide")
    if array.ndim != 2:
        raise ValueError(f"{name} of shape {array.shape} without the number of regions")
    if count is not None and len(array) < count:
        raise ValueError(f"{len(array)} rows of {name} for {count} regions")
    if not np.isfinite(array[:count]).all():
        raise ValueError(f"{name} that are NaN or infinite")
    return array[:count]
