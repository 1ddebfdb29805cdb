"""Scan the images of a split: each is read once, in blocks, and reduced to a digest."""

from __future__ import annotations

import functools
import math
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np

from vsezoo.data.doctor.open_split import OpenSplit
from vsezoo.data.doctor.report import Range
from vsezoo.data.pictures.likeness import Sketch, can_compare, sketch
from vsezoo.errors import DataError
from vsezoo.inputs import PairDataset

BLOCK = 16 * 2**20  # bytes of a feature file that are read at once
PICTURES_AT_ONCE = 64  # a decoded picture can take several megabytes
UNIT = 1e-2  # tolerance for unit norms: float16 has eleven bits of precision

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass
class ImageScan:
    """The result of a scan; images are given by index.

    Attributes:
        digests: digest of each image, None if it was not read or is all zeros; equal images have equal digests.
        unreadable: reasons by the indices of unreadable images.
        not_finite: images with NaN or an infinite value.
        zero: images that are all zeros.
        unequal: images whose rows in the feature file differ.
        norms: L2 norm of each feature.
        mean_cosine: mean cosine of two different images.
        sizes: number of pictures by width and height.
        modes: number of pictures by the Pillow mode of their files.
    """

    digests: list[bytes | None] = field(default_factory=list)
    unreadable: dict[int, DataError] = field(default_factory=dict)
    not_finite: list[int] = field(default_factory=list)
    zero: list[int] = field(default_factory=list)
    unequal: list[int] = field(default_factory=list)
    norms: Range | None = None
    mean_cosine: float | None = None
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    sketches: list[Sketch | None] = field(default_factory=list)

    @property
    def is_unit(self) -> bool:
        """Whether all features except zeros have unit norm."""
        smallest = self.norms is not None and (self.norms.min if not self.zero else 1)
        return self.norms is not None and max(abs(smallest - 1), abs(self.norms.max - 1)) < UNIT


def scan_images(split: OpenSplit, advance: Callable[[int, int], None]) -> ImageScan:
    """Read all images of a split.

    Args:
        split: the split.
        advance: progress callback `(done, total)`.
    """
    if split.features is not None:
        rows, copies = split.features, split.copies
        count = rows.shape[0] // copies
        step = max(1, BLOCK // (math.prod(rows.shape[1:]) * rows.dtype.itemsize * copies))
        blocks = ((start, *_read_rows(split, start, min(start + step, count))) for start in range(0, count, step))
        return _scan_features(blocks, count, advance)
    if split.pairs is None:
        return ImageScan()
    if split.pairs.kind == "picture":
        return _scan_pictures(split.pairs, advance)
    count = len(split.pairs.image_ids)
    step = max(1, BLOCK // (math.prod(split.pairs.image_shape) * 4))
    unreadable: dict[int, DataError] = {}
    blocks = (
        (start, *_read_features(split.pairs, range(start, min(start + step, count)), unreadable))
        for start in range(0, count, step)
    )
    scan = _scan_features(blocks, count, advance)
    scan.unreadable = unreadable
    scan.not_finite = [image for image in scan.not_finite if image not in unreadable]
    return scan


Sizes = list[int] | None  # how many regions each image of a block has, if they differ


def _read_rows(split: OpenSplit, start: int, stop: int) -> tuple[Array, Sizes]:
    """Return the rows of images `(images, copies, …, F)` as stored in the file, including NaN, and their sizes."""
    file = split.features
    assert file is not None
    rows, sizes = _pad(file.read_raw(range(start * split.copies, stop * split.copies)), file.shape[1:])
    block = rows.reshape(stop - start, split.copies, *file.shape[1:])
    return block, sizes and sizes[:: split.copies]


def _read_features(pairs: PairDataset, images: range, unreadable: dict[int, DataError]) -> tuple[Array, Sizes]:
    """Return features `(images, 1, …, F)` and their sizes; unreadable ones are NaN, with the reason recorded."""
    try:
        rows, sizes = _pad(pairs.images(images), pairs.image_shape)
        return rows[:, None], sizes
    except DataError:
        found: list[Array] = []
        for image in images:
            try:
                found.append(np.asarray(pairs.images([image])[0], dtype=np.float32))
            except DataError as error:
                unreadable[image] = error
                found.append(np.full(pairs.image_shape, np.nan, dtype=np.float32))
        rows, sizes = _pad(found, pairs.image_shape)
        return rows[:, None], sizes


def _pad(images: Array | list[Array], shape: tuple[int, ...]) -> tuple[Array, Sizes]:
    """Return images as one float32 array, and how many regions each has; padding is zeros."""
    if not isinstance(images, list):
        return images.astype(np.float32, copy=False), None
    if all(image.shape == shape for image in images):
        return np.asarray(images, dtype=np.float32), None
    block = np.zeros((len(images), *shape), dtype=np.float32)
    for row, image in zip(block, images, strict=True):
        row[: len(image)] = image
    return block, [len(image) for image in images]


def _scan_features(
    blocks: Iterator[tuple[int, Array, Sizes]], count: int, advance: Callable[[int, int], None]
) -> ImageScan:
    scan = ImageScan()
    least, greatest, total, features = math.inf, 0.0, 0.0, 0
    direction, directed = np.zeros(()), 0
    for start, block, sizes in blocks:
        first = block[:, 0]
        flat = first.reshape(len(block), -1)
        finite = np.isfinite(block).reshape(len(block), -1).all(axis=1)
        zero = finite & ~flat.any(axis=1)
        unequal = finite & (block != block[:, :1]).reshape(len(block), -1).any(axis=1)
        for found, where in ((scan.not_finite, ~finite), (scan.zero, zero), (scan.unequal, unequal)):
            found += (start + np.flatnonzero(where)).tolist()
        is_sound = np.logical_and(finite, ~zero)
        sets = first if sizes is None else [row[:size] for row, size in zip(first, sizes, strict=True)]
        scan.digests += [
            blake2b(row.tobytes(), digest_size=16).digest() if sound else None
            for row, sound in zip(sets, is_sound, strict=True)
        ]
        norms = np.linalg.norm(first[finite].astype(np.float64), axis=-1)
        if sizes is not None:
            norms = norms[np.arange(norms.shape[1]) < np.array(sizes)[finite, None]]
        if norms.size:
            least, greatest = min(least, norms.min()), max(greatest, norms.max())
            total, features = total + norms.sum(), features + norms.size
        means = first.reshape(len(block), -1, first.shape[-1])[is_sound].mean(axis=1, dtype=np.float64)
        lengths = np.linalg.norm(means, axis=1)
        direction = direction + (means[lengths > 0] / lengths[lengths > 0, None]).sum(axis=0)
        directed += int((lengths > 0).sum())
        advance(start + len(block), count)
    if features:
        scan.norms = Range(float(least), float(total / features), float(greatest))
    if directed > 1:
        # |Σ u|² contains each pair of unit vectors twice, and each vector with itself once.
        scan.mean_cosine = float((direction @ direction - directed) / (directed * (directed - 1)))
    return scan


def _scan_pictures(pairs: PairDataset, advance: Callable[[int, int], None]) -> ImageScan:
    scan = ImageScan()
    count = len(pairs.image_ids)
    # Pillow decodes without Python's lock. Its warnings are either errors here or harmless.
    with ThreadPool(os.cpu_count()) as threads, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for start in range(0, count, PICTURES_AT_ONCE):
            images = range(start, min(start + PICTURES_AT_ONCE, count))
            for image, seen in zip(images, threads.imap(functools.partial(_look_at, pairs), images), strict=True):
                if isinstance(seen, DataError):
                    scan.unreadable[image] = seen
                    scan.digests.append(None)
                    scan.sketches.append(None)
                    continue
                size, mode, digest, sketched = seen
                scan.sizes[size] += 1
                scan.modes.update([mode] if mode else [])
                scan.digests.append(digest)
                scan.sketches.append(sketched)
            advance(images.stop, count)
    return scan


Seen = tuple[tuple[int, int], str, bytes, Sketch | None]


def _look_at(pairs: PairDataset, image: int) -> Seen | DataError:
    """Return the size of a picture, its mode if it is a file, its digest and its sketch; or why it cannot be read."""
    try:
        if pairs.places:
            picture, size, mode = pairs.places[image].inspect()
        else:
            (picture,) = pairs.images([image])
            size, mode = picture.size, ""
    except DataError as error:
        return error
    salt = np.array(picture.size, dtype="<u8").tobytes()  # pictures of different shapes may have the same bytes
    digest = blake2b(picture.tobytes(), digest_size=16, salt=salt).digest()
    return size, mode, digest, sketch(picture) if can_compare() else None
