"""Pairs of precomputed features and captions, as opened by `vsezoo.data.precomputed.source`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vsezoo.data.precomputed.boxes import read_boxes
from vsezoo.data.precomputed.caption_groups import ONE_EACH, group_captions
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.data.precomputed.feature_record import read_extraction
from vsezoo.data.precomputed.split_files import SplitPaths
from vsezoo.inputs import PairDataset

DEV_IMAGES = 1000
"""Number of images used of the dev split, as in VSE++, SCAN and VSRN, whatever the file contains."""


class PrecomputedPairs(PairDataset):
    """One split of precomputed features: vectors `(F,)` or regions `(R, F)`, and the captions of each image.

    Which captions an image has: see `vsezoo.data.precomputed.caption_groups`.

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
        groups = group_captions(self._features, files)
        image_ids, sizes, self._copies = groups.ids, groups.sizes, groups.copies
        if check_values:
            self._features.check(self._copies)
        if split == "dev" and not full_dev:
            image_ids, sizes = image_ids[:DEV_IMAGES], sizes[:DEV_IMAGES]
        self.name = name
        self.split = split
        self.kind = "vector" if len(self._features.shape) == 2 else "regions"
        self.captions = groups.captions[: sum(sizes)]
        self._all_captions = groups.captions
        self.languages = groups.languages[: sum(sizes)]
        self.image_ids = image_ids
        self.image_of = np.repeat(np.arange(len(sizes)), sizes)
        self.image_shape = self._features.shape[1:]
        self.extraction = read_extraction(files.stem)
        self._rule, self._there = groups.rule, len(groups.ids)
        self._is_finite = np.zeros(len(image_ids), dtype=bool)  # each image is looked at when it is first read

    @property
    def all_captions(self) -> Sequence[str]:
        """All captions of the file, including those cut from the dev split."""
        return self._all_captions

    @property
    def account(self) -> Mapping[str, Any]:
        """What was found: the files of the split, its images and captions, and which captions belong to an image."""
        count, left_out = len(self.image_ids), self._there - len(self.image_ids)
        names = [file.name for file in self._files.captions.values()]
        is_usual = self._rule != ONE_EACH and not self._files.unread and names == [f"{self._files.stem.name}_caps.txt"]
        summary = (
            f"{self._files.stem.parent} (features): {self.split} {count:,} images, {len(self.captions):,} captions of "
            f"{' and '.join(names)}, {self._rule}."
        )
        summary += f" Not read, since another is: {', '.join(self._files.unread)}." if self._files.unread else ""
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
            "languages": sorted(set(self.languages)),
            "summary": "" if is_usual else summary,  # what is as always need not be printed
        }

    def images(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> Any:
        """Return features `(len(indices), *image_shape)`, float16 if the file is float16, else float32.

        If images have different numbers of regions, a list of arrays `(R_i, F)`; `image_shape` has the largest.

        Raises:
            IndexError: for an index outside the split.
            DataError: for a row with NaN or an infinite value, when it is first read.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self.image_ids):
            raise IndexError(f"image {chosen.min()} to {chosen.max()} of {len(self.image_ids)}")
        rows = chosen * self._copies
        if self._is_finite[chosen].all():
            return self._features.read_raw(rows)
        features = self._features.read(rows)
        self._is_finite[chosen] = True
        return features

    def boxes(self, index: int) -> np.ndarray | None:
        """Return the boxes of the regions of an image, see `vsezoo.data.precomputed.boxes`."""
        return read_boxes(self._files.stem, index * self._copies, self._features)
