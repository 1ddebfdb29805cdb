"""The file `splits.csv` in a data folder: it decides which picture is in which split, whatever the layout says.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from vsezoo.data.pictures.listing import CaptionedImage, Listing, name_split
from vsezoo.data.pictures.table_file import read_rows
from vsezoo.errors import DataError, list_names

SPLITS_FILE = "splits.csv"
BY_FILE = f"given by {SPLITS_FILE}"
UNNAMED = f"not in {SPLITS_FILE}"
NAMED = 3


def apply_split_file(listing: Listing) -> Listing:
    """Return a listing with the splits of `splits.csv`, if its folder has one; pictures not in it are left out.

    Raises:
        DataError: for a file without the columns `image` and `split`, or that names none of the pictures.
    """
    file = listing.folder / SPLITS_FILE
    if not file.is_file():
        return listing
    split_of = read_splits(file)
    splits: dict[str, list[CaptionedImage]] = {}
    images = [image for of_split in listing.splits.values() for image in of_split]
    for image in images:
        if split := split_of.get(image.name):
            splits.setdefault(split, []).append(image)
    if not splits:
        raise DataError(
            f"names none of the {len(images):,} pictures, such as {list_names([one.name for one in images], NAMED)}.",
            file=file,
            remedy="Write it again with `vsezoo data split`, or remove it.",
        )
    left_out = Counter(listing.left_out)  # files of their own are counted when the folder is looked through
    left_out[UNNAMED] += sum(
        image.place is not None and bool(image.place.member) for image in images if image.name not in split_of
    )
    kept = {reason: count for reason, count in left_out.items() if count}
    return replace(listing, splits=splits, rule=BY_FILE, left_out=kept)


def read_splits(file: Path) -> dict[str, str]:
    """Return the split of each picture by its id.

    Raises:
        DataError: for a row without one of the two, or an id in several splits.
    """
    found: dict[str, str] = {}
    for place, row in read_rows(file):
        name, split = row.get("image"), name_split(str(row.get("split") or ""))
        if not name or not split:
            remedy = "Write a first line `image,split`, and the id and the split of a picture in each other line."
            raise DataError(f"{place} does not have an image and a split.", file=file, remedy=remedy)
        if found.setdefault(str(name), split) != split:
            raise DataError(f"{place} has {name} in a second split.", file=file, remedy="Keep one of the rows.")
    return found


def write_splits(split_of: Mapping[str, str], groups: Mapping[str, str]) -> bytes:
    """Return the content of `splits.csv`: image, split and group in each row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["image", "split", "group"])
    writer.writerows([name, split, groups.get(name, "")] for name, split in split_of.items())
    return stream.getvalue().encode(errors="surrogateescape")
