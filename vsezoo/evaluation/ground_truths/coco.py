"""Images and captions of COCO's test split by their numbers, and the ground truths that name them so.

The files are those of the distribution `eccv-caption` (Chun et al. 2022), which has CxC's positives as well. They are
read and not its code: that counts an item that is ranked twice as two hits, and has no R-Precision alone.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vsezoo.errors import DataError, MissingPackageError
from vsezoo.inputs import PairDataset
from vsezoo.storage.plain_file import explain_unread, open_plain, read_plain

IDS = "coco_test_ids.npy"
PACKAGE = "eccv_caption"
INSTALL = "Install them: python -m pip install 'vsezoo[eccv]', or give a folder with these files to --protocol-files."
SAME = 3.0
"""CxC's pairs with at least this score, of 0 to 5, match."""

Matches = Mapping[int, frozenset[int]]


@dataclass(frozen=True)
class CocoSplit:
    """The 5,000 test images of COCO with five captions each, in the order of the data set.

    Attributes:
        images: their indices in the data set.
        texts: the captions.
        image_numbers: COCO's number of each image.
        caption_numbers: COCO's number of each caption.
        image_of: place of each caption's image among the images.
    """

    images: list[int]
    texts: list[str]
    image_numbers: list[int]
    caption_numbers: list[int]
    image_of: list[int]


def find_files(folder: Path) -> Path:
    """Return the folder of the ground truths: the given one if it has them, or that of the installed distribution.

    Raises:
        MissingPackageError: if there is neither.
    """
    if (folder / IDS).is_file():
        return folder
    spec = importlib.util.find_spec(PACKAGE)  # importing it would warn of optional packages
    if spec is None or not spec.submodule_search_locations:
        raise MissingPackageError("ECCV Caption and CxC need the files of eccv-caption.", remedy=INSTALL)
    return Path(spec.submodule_search_locations[0]) / "data"


def read_matches(folder: Path, name: str) -> tuple[Matches, Matches]:
    """Return the matches of images and of captions in a ground truth, `original`, `cxc` or `eccv`, by numbers.

    Raises:
        DataError: for a file that is absent or damaged.
    """
    return _read_json(folder / f"{name}_image_to_caption.json"), _read_json(folder / f"{name}_caption_to_image.json")


def identify(data: PairDataset, folder: Path) -> CocoSplit:
    """Find the test images of COCO in a split.

    An image is known by the number at the end of its id, as in `COCO_val2014_000000391895.jpg`. In a split of 5,000
    images whose ids are not such, as those of VSE++'s features, images are taken to be in Karpathy's order. Captions
    are the first five of their image, in Karpathy's order.

    Args:
        data: the split.
        folder: of the ground truths.

    Raises:
        DataError: if the split lacks images.
    """
    captions_of: dict[int, list[int]] = {}
    owners = {caption: next(iter(images)) for caption, images in read_matches(folder, "original")[1].items()}
    for caption in _read_ids(folder / IDS):
        captions_of.setdefault(owners[caption], []).append(caption)
    numbers = [_find_number(name) for name in data.image_ids]
    if len(captions_of) == len(numbers) and not captions_of.keys() & set(numbers):
        numbers = list(captions_of)
    places = {number: index for index, number in enumerate(numbers) if number in captions_of}
    if missing := [number for number in captions_of if number not in places]:
        raise DataError(
            f"the split {data.split} of {data.name} lacks {len(missing):,} of COCO's {len(captions_of):,} test images.",
            remedy="Evaluate on COCO with Karpathy's split: --split test of coco2014, --split testall of the features "
            "of VSE++.",
        )
    own: dict[int, list[int]] = {}
    for caption, image in enumerate(np.asarray(data.image_of).tolist()):
        own.setdefault(image, []).append(caption)
    split = CocoSplit([], [], [], [], [])
    for number in (number for number in numbers if number in captions_of):
        index, known = places[number], captions_of[number]
        if len(own.get(index, ())) < len(known):
            problem = f"{data.image_ids[index]} has {len(own.get(index, ()))} captions, and {len(known)} in COCO."
            raise DataError(problem, remedy="Evaluate on all captions of COCO's test images.")
        split.image_of.extend([len(split.images)] * len(known))
        split.images.append(index)
        split.image_numbers.append(number)
        split.caption_numbers.extend(known)
        split.texts.extend(data.captions[caption] for caption in own[index][: len(known)])
    return split


def read_scores(file: Path) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs of a file of CxC, `sts_test.csv` or `sis_test.csv`, by numbers, each with its score.

    Raises:
        DataError: for a damaged file.
    """
    try:
        with explain_unread(file), file.open(encoding="utf-8", newline="") as lines:
            rows = csv.reader(lines)
            next(rows, None)
            for number, (first, second, score, *_) in enumerate(rows, start=2):
                pair = _find_number(first), _find_number(second)
                if None in pair:
                    raise ValueError(f"line {number} names no caption or image of COCO")
                yield pair[0] or 0, pair[1] or 0, float(score)
    except ValueError as error:
        problem = f"is not a file of Crisscrossed Captions: {error}."
        raise DataError(problem, file=file, remedy="Copy it again from its authors' repository.") from error


def _find_number(name: str) -> int | None:
    """Return the number at the end of a name, before its suffix."""
    found = re.search(r"(\d+)(?:\.\w+)?$", name)
    return int(found[1]) if found else None


def _read_ids(file: Path) -> list[int]:
    try:
        with open_plain(file) as stream:
            ids: list[int] = np.load(stream, allow_pickle=False).tolist()
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"cannot be read: {error}.", file=file, remedy=INSTALL) from error
    return ids


def _read_json(file: Path) -> dict[int, frozenset[int]]:
    try:
        with explain_unread(file, remedy=INSTALL):
            value = json.loads(read_plain(file))
        return {int(query): frozenset(map(int, matches)) for query, matches in value.items() if matches}
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise DataError("is not a ground truth of eccv-caption.", file=file, remedy=INSTALL) from error
