"""Pictures that look nearly the same: copies that were scaled or saved again, neighbouring frames of a video.

Perceptual hashes of the library ImageHash find candidates, and small copies in colour confirm them: a hash sees no
colours, and those of plain drawings are often equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from vsezoo.errors import require_package

BITS = 8
"""How many of the 64 bits of two hashes may differ. No two of 2,500 pictures of Flickr8K pass both tests."""
COLOURS = 6.0
"""How far the small copies may differ on average, of 255."""
SMALL, SHRUNK = 8, 64  # pixels of a side: of the copies that are compared, and of those that are hashed
PLAIN = 3.0  # standard deviation of grey values up to which nothing in a picture could be recognised
BLOCK = 2**24  # pairs of hashes compared at a time

Array = np.ndarray[Any, np.dtype[Any]]


class Sketch(NamedTuple):
    """What is compared of a picture: its hash, and its small copy `(192,)` int16."""

    hash: int
    colours: Array


def can_compare() -> bool:
    """Return whether ImageHash is installed, which the extra `duplicates` brings."""
    return find_spec("imagehash") is not None


def sketch(picture: Image.Image) -> Sketch | None:
    """Return the sketch of an RGB picture; None for one that is plain, since all such look the same.

    Raises:
        MissingPackageError: without ImageHash.
    """
    imagehash = require_package("imagehash", "Comparing pictures by what they look like")
    shrunk = picture.resize((SHRUNK, SHRUNK), Image.Resampling.BOX)
    colours = np.asarray(shrunk.resize((SMALL, SMALL), Image.Resampling.BOX), dtype=np.int16)
    if colours.mean(axis=2).std() <= PLAIN:
        return None
    bits = np.packbits(imagehash.phash(shrunk).hash.ravel())
    return Sketch(int.from_bytes(bits.tobytes()), colours.ravel())


def find_near(first: Sequence[Sketch | None], other: Sequence[Sketch | None]) -> Iterator[tuple[int, int]]:
    """Yield the index pairs of pictures that look nearly the same, ordered by the second index.

    Args:
        first: sketches of some pictures; None is near to nothing.
        other: sketches of others.
    """
    left, right = ([index for index, one in enumerate(side) if one is not None] for side in (first, other))
    if not left or not right:
        return
    hashes, others = (_stack(side) for side in (first, other))
    step = max(1, BLOCK // len(left))
    for start in range(0, len(right), step):
        distances = np.bitwise_count(others[start : start + step, None] ^ hashes[None])
        for row, column in zip(*np.nonzero(distances <= BITS), strict=True):
            one, two = first[left[column]], other[right[start + row]]
            if one is not None and two is not None and np.abs(one.colours - two.colours).mean() <= COLOURS:
                yield left[column], right[start + row]


def group_near(sketches: Sequence[Sketch | None]) -> list[int]:
    """Return for each picture the first that it is near to, over any number of steps; itself if it is alone."""
    root = list(range(len(sketches)))

    def find(index: int) -> int:
        while root[index] != index:
            root[index] = root[root[index]]
            index = root[index]
        return index

    for one, two in find_near(sketches, sketches):
        first, second = sorted((find(one), find(two)))
        root[second] = first
    return [find(index) for index in range(len(sketches))]


def _stack(sketches: Sequence[Sketch | None]) -> Array:
    return np.array([one.hash for one in sketches if one is not None], dtype=np.uint64)
