"""How many regions each image has, if images have different numbers of them: lengths or masks next to the features.

Features are then `(all regions, F)`, one image after the other, or `(images, R, F)` with padding. What says where the
regions of an image are is in the same file, under one of the names below, or next to a `.npy` file: `SPLIT_ims.npy` has
`SPLIT_ims_lengths.npy` or `SPLIT_ims_mask.npy`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.errors import DataError, list_names, require_package

LENGTHS = ("lengths", "num_boxes", "num_bbox", "num_regions", "num_rois", "counts", "lens")
"""Names of an array `(images,)`: how many regions each image has."""
RANGES = ("pos_boxes", "ranges")
"""Names of an array `(images, 2)`: the first region of each image, and the one after its last."""
MASKS = ("mask", "masks", "region_mask", "attention_mask")
"""Names of an array `(images, R)`: 1 for regions, 0 for padding, anywhere in the image."""
BOXES = ("boxes", "bboxes", "bbox", "bbx", "image_bb", "bounding_boxes")
"""Names of an array of the boxes of regions."""
OTHERS = (*BOXES, "spatial_features")
"""Names of arrays of numbers of regions that are not their features."""
REMEDY = "Leave such images out of the features and the captions, or extract them again."
NAMED = 5

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class RegionCounts:
    """Where the regions of each image are.

    Attributes:
        counts: `(images,)` int64, how many regions each has, 1 or more.
        starts: `(images,)` int64, its first row in an array `(all regions, F)`; None: the array is `(images, R, F)`.
        mask: `(images, R)` bool, which rows of such an array are regions; None: the first `counts`.
    """

    counts: Array
    starts: Array | None = None
    mask: Array | None = None

    def take(self, array: Any, image: int) -> Array:
        """Return the regions of an image from the array of all: an array, a memory map or an HDF5 data set."""
        if self.starts is not None:
            start = int(self.starts[image])
            found = array[start : start + int(self.counts[image])]
        elif self.mask is not None:
            found = array[image][self.mask[image]]
        else:
            found = array[image][: int(self.counts[image])]
        return np.asarray(found)


def read_counts(path: Path, content: Path, shape: tuple[int, ...]) -> RegionCounts | None:
    """Return where the regions of the images of a file are; None if all images have the same number of regions.

    Args:
        path: the file of features.
        content: the file that has its numbers, if they had to be unpacked.
        shape: of the array of features.

    Raises:
        DataError: for lengths or a mask that do not fit the features, or images without regions.
    """
    for names, read in ((LENGTHS, _from_lengths), (RANGES, _from_ranges), (MASKS, _from_mask)):
        for file in dict.fromkeys((path, content)):
            found = read_beside(file, names)
            if found is not None:
                name, values = found
                counts = read(values, shape, path, name)
                _require_regions(counts.counts, path, name)
                is_whole = counts.starts is None and bool((counts.counts == shape[1]).all())
                return None if is_whole else counts
    return None


def read_beside(path: Path, names: Sequence[str]) -> tuple[str, Array] | None:
    """Return an array of one of these names from a file of features, or from a file next to it, and what it is called.

    Raises:
        DataError: for a file that cannot be read, or whose array is pickled.
    """
    ending, named = path.suffix.lower(), ""
    try:
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                named = next((name for name in names if name in archive.files), "")
                return (named, archive[named]) if named else None
        if ending == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, "numpy") as tensors:
                named = next((name for name in names if name in tensors.keys()), "")  # noqa: SIM118  # no mapping
                return (named, tensors.get_tensor(named)) if named else None
        if ending in (".h5", ".hdf5"):
            with require_package("h5py", "a file of features in HDF5", path).File(path, "r") as file:
                named = next((name for name in names if name in file), "")
                return (named, np.asarray(file[named])) if named else None
        if ending in (".pt", ".pth"):
            return _read_torch(path, names)
        for name in names:
            beside = path.with_name(f"{path.stem}_{name}.npy")
            if beside.is_file():
                named = beside.name
                return named, np.load(beside, allow_pickle=False)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"has an array {named!r} that cannot be read: {error}.", file=path, remedy="Save it as numbers."
        ) from None
    return None


def _read_torch(path: Path, names: Sequence[str]) -> tuple[str, Array] | None:
    import torch

    found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)  # as its header was read
    for name in names if isinstance(found, dict) else ():
        if isinstance(found.get(name), torch.Tensor):
            return name, found[name].numpy()
    return None


def _from_lengths(values: Array, shape: tuple[int, ...], path: Path, name: str) -> RegionCounts:
    counts = _as_numbers(values.reshape(-1), path, name)
    if len(shape) == 2:
        if counts.sum() != shape[0] or counts.min(initial=0) < 0:
            raise _misfit(path, f"{name!r} counts {counts.sum():,} regions in all, and there are {shape[0]:,} rows")
        return RegionCounts(counts, np.cumsum(counts) - counts)
    if len(counts) != shape[0]:
        raise _misfit(path, f"{name!r} has {len(counts):,} numbers, and there are {shape[0]:,} images")
    if counts.max(initial=0) > shape[1] or counts.min(initial=0) < 0:
        place = int(np.flatnonzero((counts > shape[1]) | (counts < 0))[0])
        raise _misfit(path, f"{name!r} has {counts[place]} for image {place}, which has {shape[1]} rows")
    return RegionCounts(counts)


def _from_ranges(values: Array, shape: tuple[int, ...], path: Path, name: str) -> RegionCounts:
    ranges = _as_numbers(values, path, name)
    if len(shape) != 2 or ranges.ndim != 2 or ranges.shape[1] != 2:
        raise _misfit(path, f"{name!r} has the shape {ranges.shape}, and the features {shape}")
    if ranges.min(initial=0) < 0 or ranges.max(initial=0) > shape[0] or (ranges[:, 0] > ranges[:, 1]).any():
        raise _misfit(path, f"{name!r} has ranges outside of the {shape[0]:,} rows")
    return RegionCounts(ranges[:, 1] - ranges[:, 0], ranges[:, 0].copy())


def _from_mask(values: Array, shape: tuple[int, ...], path: Path, name: str) -> RegionCounts:
    if len(shape) != 3 or values.shape != shape[:2] or not np.isin(values, (0, 1)).all():
        raise _misfit(path, f"{name!r} has the shape {values.shape}, and the features {shape}; it has 1 for regions")
    mask = values.astype(bool)
    counts = mask.sum(axis=1, dtype=np.int64)
    is_first = bool((mask == (np.arange(shape[1]) < counts[:, None])).all())
    return RegionCounts(counts, mask=None if is_first else mask)


def _as_numbers(values: Array, path: Path, name: str) -> Array:
    if values.dtype.kind not in "iu" and not (values.dtype.kind == "f" and (values == np.round(values)).all()):
        raise _misfit(path, f"{name!r} contains numbers of type {values.dtype}, not whole ones")
    return values.astype(np.int64)


def _misfit(path: Path, problem: str) -> DataError:
    remedy = "Save the number of regions of each image, in the order of the features, or a mask (images, R)."
    return DataError(f"has regions and counts that do not fit: {problem}.", file=path, remedy=remedy)


def _require_regions(counts: Array, path: Path, name: str) -> None:
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        rows = list_names([f"row {row}" for row in empty], NAMED)
        what = "an image" if len(empty) == 1 else "images"
        problem = f"has {len(empty):,} {what} without any region ({name!r}): {rows}, counted from 0."
        raise DataError(problem, file=path, remedy=REMEDY)
