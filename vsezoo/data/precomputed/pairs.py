"""Pairs of precomputed features and captions, as opened by `vsezoo.data.precomputed.source`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE, find_runs, name_images, read_captions, read_lines
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.data.precomputed.feature_record import read_extraction
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset

DEV_IMAGES = 1000
"""Number of images used of the dev split, as in VSE++, SCAN and VSRN, whatever the file contains."""


class PrecomputedPairs(PairDataset):
    """One split of precomputed features: vectors `(F,)` or regions `(R, F)`, and the captions of each image.

    An image has five captions, or as many as `STEM_ids.txt` has consecutive lines with its id.

    Args:
        name: name of the data set.
        split: name of the split; `dev` is cut to its first 1,000 images.
        stem: path of the files without suffixes: `STEM_ims.npy`, `STEM_caps.txt` and optionally `STEM_ids.txt`.
        full_dev: use the whole dev split.
        check_values: check the values now; False leaves that to the caller, such as the data doctor.

    Raises:
        DataError: for files that are absent, damaged, or do not fit together.
    """

    def __init__(self, name: str, split: str, stem: Path, *, full_dev: bool = False, check_values: bool = True) -> None:
        self._features = FeatureFile.open(stem.with_name(f"{stem.name}_ims.npy"))
        caption_file, id_file = (stem.with_name(f"{stem.name}_{ending}.txt") for ending in ("caps", "ids"))
        ids = read_lines(id_file) if id_file.exists() else []
        captions = read_captions(caption_file, len(ids))
        image_ids, sizes = find_runs(ids)
        self._copies = 1
        if len(ids) != len(captions) or len(image_ids) != self._features.shape[0]:
            self._copies = _count_copies(self._features, caption_file, len(captions), len(image_ids))
            images = self._features.shape[0] // self._copies
            image_ids = name_images(id_file, ids, images) if id_file.exists() else list(map(str, range(images)))
            sizes = [CAPTIONS_PER_IMAGE] * images
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
        self.extraction = read_extraction(stem)

    @property
    def all_captions(self) -> Sequence[str]:
        """All captions of the file, including those cut from the dev split."""
        return self._all_captions

    def images(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return features `(len(indices), *image_shape)`, float16 if the file is float16, else float32.

        Raises:
            IndexError: for an index outside the split.
            DataError: for a row with NaN or an infinite value.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self.image_ids):
            raise IndexError(f"image {chosen.min()} to {chosen.max()} of {len(self.image_ids)}")
        return self._features.read(chosen * self._copies)


def _count_copies(features: FeatureFile, caption_file: Path, captions: int, runs: int) -> int:
    """Return the rows per image with five captions: 5 if each caption has a row, else 1 (`im_div` of VSE++)."""
    rows = features.shape[0]
    if rows * CAPTIONS_PER_IMAGE == captions:
        return 1
    if rows == captions and captions % CAPTIONS_PER_IMAGE == 0:
        return CAPTIONS_PER_IMAGE
    raise DataError(
        f"has {rows:,} rows, and {caption_file.name} has {captions:,} captions; expected five captions per image: "
        f"{rows * CAPTIONS_PER_IMAGE:,} captions for one row per image, or as many rows as captions for rows that "
        "are repeated five times; or an id file with one line per caption and a new id for each row"
        + (f", while it has {runs:,} ids in succession." if runs else "."),
        file=features.path,
        remedy=f"Complete the file that is too short: {features.path.name} or {caption_file.name}. If images do not "
        f"have five captions, write {caption_file.name.removesuffix('caps.txt')}ids.txt with the image id of each "
        "caption.",
    )
