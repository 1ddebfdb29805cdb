"""Pairs of precomputed features and captions, as opened by `vsezoo.data.precomputed.source`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE, find_runs, name_images
from vsezoo.data.precomputed.boxes import read_boxes
from vsezoo.data.precomputed.feature_file import SAMPLED_IMAGES, FeatureFile
from vsezoo.data.precomputed.feature_record import read_extraction
from vsezoo.data.precomputed.split_files import SplitPaths
from vsezoo.errors import DataError
from vsezoo.inputs import PairDataset

BY_IDS = "as the ids say"
FIVE_EACH = "five per image"
ONE_EACH = "one per image, since there are as many rows as captions and consecutive rows differ"
"""How captions belong to images, as reported."""

DEV_IMAGES = 1000
"""Number of images used of the dev split, as in VSE++, SCAN and VSRN, whatever the file contains."""


class PrecomputedPairs(PairDataset):
    """One split of precomputed features: vectors `(F,)` or regions `(R, F)`, and the captions of each image.

    An image has as many captions as the ids have consecutive lines with its id. Without such ids, it has five; or one
    if there are as many rows as captions and five consecutive rows are never equal.

    Args:
        name: name of the data set.
        split: name of the split; `dev` is cut to its first 1,000 images.
        files: files of the split.
        full_dev: use the whole dev split.
        check_values: check the values now; False leaves that to the caller, such as the data doctor.

    Raises:
        DataError: for files that are absent, damaged, or do not fit together.
    """

    def __init__(
        self, name: str, split: str, files: SplitPaths, *, full_dev: bool = False, check_values: bool = True
    ) -> None:
        self._files, self._features = files, FeatureFile.open(files.features)
        captions, ids = files.read_captions()
        rows = self._features.shape[0]
        image_ids, sizes = find_runs(ids)
        self._copies, rule = 1, BY_IDS
        if len(ids) != len(captions) or len(image_ids) != rows:
            self._copies = _count_copies(self._features, files, len(captions), len(image_ids))
            images = rows // self._copies
            rule, each = (ONE_EACH, 1) if images == len(captions) else (FIVE_EACH, CAPTIONS_PER_IMAGE)
            image_ids = name_images(files.ids, ids, images) if ids else list(map(str, range(images)))
            sizes = [each] * images
        if check_values:
            self._features.check(self._copies)
        if split == "dev" and not full_dev:
            image_ids, sizes = image_ids[:DEV_IMAGES], sizes[:DEV_IMAGES]
        self.name = name
        self.split = split
        self.kind = "vector" if len(self._features.shape) == 2 else "regions"
        self.captions = captions[: sum(sizes)]
        self._all_captions = captions
        self.image_ids = image_ids
        self.image_of = np.repeat(np.arange(len(sizes)), sizes)
        self.image_shape = self._features.shape[1:]
        self.extraction = read_extraction(files.stem)
        self._rule, self._there = rule, rows // self._copies

    @property
    def all_captions(self) -> Sequence[str]:
        """All captions of the file, including those cut from the dev split."""
        return self._all_captions

    @property
    def account(self) -> Mapping[str, Any]:
        """What was found: the files of the split, its images and captions, and which captions belong to an image."""
        count, left_out = len(self.image_ids), self._there - len(self.image_ids)
        is_usual = self._rule != ONE_EACH and self._files.captions == self._files.stem.with_name(
            f"{self._files.stem.name}_caps.txt"
        )
        summary = (
            f"{self._files.stem.parent} (features): {self.split} {count:,} images, {len(self.captions):,} captions of "
            f"{self._files.captions.name}, {self._rule}."
        )
        return {
            "folder": str(self._files.stem.parent),
            "layout": "features",
            "file": str(self._files.features),
            "rule": self._rule,
            "splits": {self.split: {"images": count, "captions": len(self.captions)}},
            "images": self._there,
            "used": count,
            "left_out": {f"beyond the first {DEV_IMAGES:,} of dev": left_out} if left_out else {},
            "absent": 0,
            "empty_captions": sum(not caption for caption in self.captions),
            "language": self._files.language,
            "summary": "" if is_usual else summary,  # what is as always need not be printed
        }

    def images(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> Any:
        """Return features `(len(indices), *image_shape)`, float16 if the file is float16, else float32.

        If images have different numbers of regions, a list of arrays `(R_i, F)`; `image_shape` has the largest.

        Raises:
            IndexError: for an index outside the split.
            DataError: for a row with NaN or an infinite value.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self.image_ids):
            raise IndexError(f"image {chosen.min()} to {chosen.max()} of {len(self.image_ids)}")
        return self._features.read(chosen * self._copies)

    def boxes(self, index: int) -> np.ndarray | None:
        """Return the boxes of the regions of an image, see `vsezoo.data.precomputed.boxes`."""
        return read_boxes(self._files.stem, index * self._copies, self._features)


def _count_copies(features: FeatureFile, files: SplitPaths, captions: int, runs: int) -> int:
    """Return the rows per image: 5 if each of its five captions has a row (`im_div` of VSE++), else 1."""
    rows, caption_file = features.shape[0], files.captions
    if rows * CAPTIONS_PER_IMAGE == captions:
        return 1
    if rows == captions and not runs:
        return 1 if rows % CAPTIONS_PER_IMAGE or _all_differ(features) else CAPTIONS_PER_IMAGE
    if rows == captions and rows % CAPTIONS_PER_IMAGE == 0:
        return CAPTIONS_PER_IMAGE
    raise DataError(
        f"has {rows:,} rows, and {caption_file.name} has {captions:,} captions; expected five captions per image: "
        f"{rows * CAPTIONS_PER_IMAGE:,} captions for one row per image, or as many rows as captions for rows that "
        "are repeated five times, or for one caption per image; or an id file with one line per caption and a new id "
        "for each row" + (f", while it has {runs:,} ids in succession." if runs else "."),
        file=features.path,
        remedy=f"Complete the file that is too short: {features.path.name} or {caption_file.name}. If images do not "
        f"have five captions, write {files.ids.name} with the image id of each caption.",
    )


def _all_differ(features: FeatureFile) -> bool:
    """Return whether none of 100 equidistant groups of five rows has equal rows."""
    images = features.shape[0] // CAPTIONS_PER_IMAGE
    for image in np.unique(np.linspace(0, images - 1, SAMPLED_IMAGES, dtype=np.int64)):
        rows = features.read_raw(np.arange(CAPTIONS_PER_IMAGE) + image * CAPTIONS_PER_IMAGE)
        if all(np.array_equal(row, rows[0], equal_nan=True) for row in rows):
            return False
    return True
