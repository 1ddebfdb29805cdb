"""Which captions belong to an image of precomputed features.

An image has as many captions as the ids have consecutive lines with its id. Without such ids, it has five; or one if
there are as many rows as captions and five consecutive rows are never equal. Captions of several languages are in one
file for each, and an image has those of all files.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE, find_runs, name_images
from vsezoo.data.languages import find_code
from vsezoo.data.precomputed.feature_file import SAMPLED_IMAGES, FeatureFile
from vsezoo.data.precomputed.split_files import SplitPaths
from vsezoo.errors import DataError

BY_IDS = "as the ids say"
FIVE_EACH = "five per image"
ONE_EACH = "one per image, since there are as many rows as captions and consecutive rows differ"
"""How captions belong to images, as reported."""


class CaptionGroups(NamedTuple):
    """The captions of a split, image after image.

    Attributes:
        captions: all of them.
        ids: of the images.
        sizes: number of captions of each image.
        copies: rows of features per image.
        rule: how captions belong to images, as reported.
        languages: of each caption; empty if no file names one.
    """

    captions: list[str]
    ids: list[str]
    sizes: list[int]
    copies: int
    rule: str
    languages: list[str]


def group_captions(features: FeatureFile, files: SplitPaths) -> CaptionGroups:
    """Read the captions of a split.

    Raises:
        DataError: for files that cannot be read, or do not fit together.
    """
    groups = [_group(features, files, find_code(word.lower()), file) for word, file in files.captions.items()]
    first = groups[0]
    if len(groups) == 1:
        return first
    if any((one.ids, one.copies) != (first.ids, first.copies) for one in groups):
        raise DataError(
            f"{' and '.join(file.name for file in files.captions.values())} do not have the same images.",
            file=files.stem.parent,
            remedy="Each must have the captions of all images, in the order of the rows.",
        )
    captions, languages = list[str](), list[str]()
    readers = [(iter(one.captions), iter(one.languages), one.sizes) for one in groups]
    for image in range(len(first.ids)):
        for texts, of_texts, sizes in readers:
            captions += islice(texts, sizes[image])
            languages += islice(of_texts, sizes[image])
    sizes = [sum(of_image) for of_image in zip(*(one.sizes for one in groups), strict=True)]
    rule = "; ".join(dict.fromkeys(one.rule for one in groups))
    return CaptionGroups(captions, first.ids, sizes, first.copies, rule, languages)


def _group(features: FeatureFile, files: SplitPaths, language: str, file: Path) -> CaptionGroups:
    captions, ids = files.read_captions(file)
    languages = [language] * len(captions) if language else []
    rows = features.shape[0]
    image_ids, sizes = find_runs(ids)
    if len(ids) == len(captions) and len(image_ids) == rows:
        return CaptionGroups(captions, image_ids, sizes, 1, BY_IDS, languages)
    copies = _count_copies(features, files.ids, file, len(captions), len(image_ids))
    images = rows // copies
    rule, each = (ONE_EACH, 1) if images == len(captions) else (FIVE_EACH, CAPTIONS_PER_IMAGE)
    image_ids = name_images(files.ids, ids, images) if ids else list(map(str, range(images)))
    return CaptionGroups(captions, image_ids, [each] * images, copies, rule, languages)


def _count_copies(features: FeatureFile, id_file: Path, caption_file: Path, captions: int, runs: int) -> int:
    """Return the rows per image: 5 if each of its five captions has a row (`im_div` of VSE++), else 1."""
    rows = features.shape[0]
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
        f"have five captions, write {id_file.name} with the image id of each caption.",
    )


def _all_differ(features: FeatureFile) -> bool:
    """Return whether none of 100 equidistant groups of five rows has equal rows."""
    images = features.shape[0] // CAPTIONS_PER_IMAGE
    for image in np.unique(np.linspace(0, images - 1, SAMPLED_IMAGES, dtype=np.int64)):
        rows = features.read_raw(np.arange(CAPTIONS_PER_IMAGE) + image * CAPTIONS_PER_IMAGE)
        if all(np.array_equal(row, rows[0], equal_nan=True) for row in rows):
            return False
    return True
