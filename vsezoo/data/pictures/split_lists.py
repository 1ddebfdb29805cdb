"""Lists of the pictures of each split as text files, such as `train.txt` and `Flickr_8k.devImages.txt`.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.listing import CaptionedImage, Listing, name_split
from vsezoo.data.pictures.splits import BY_FOLDER, DRAWN
from vsezoo.errors import DataError, list_names

WORD = re.compile(r"train|val|dev|test")
MOST = 50  # files that are looked into
FIRST = 20  # lines of a file that are looked at; half of them must name pictures
NAMED = 3


def apply_split_lists(listing: Listing) -> Listing:
    """Return a listing with the splits of lists in its folder, unless a column or lists of a layout name them.

    A list has the name of a picture, or its stem, on each line. There must be lists of two splits or more.

    Raises:
        DataError: for two lists of one split.
    """
    if listing.rule not in (BY_FOLDER, DRAWN) or not all(isinstance(part, list) for part in listing.splits.values()):
        return listing
    files = _list_candidates(listing)
    if len(files) < 2:
        return listing
    images = [image for part in listing.splits.values() for image in part]
    known = _index(images)
    lists: dict[str, Path] = {}
    for file in files:
        if not _is_list(file, known):
            continue
        split = name_split(WORD.findall(file.stem.lower())[-1])
        if split in lists:
            problem = f"has two lists of the split {split}: {list_names([lists[split].name, file.name], NAMED)}."
            raise DataError(problem, file=listing.folder, remedy="Move one of them to another folder.")
        lists[split] = file
    return _divide(listing, images, known, lists) if len(lists) > 1 else listing


def _list_candidates(listing: Listing) -> list[Path]:
    """Return the texts in the folder, and in that of the list, whose names have words for splits."""
    places = dict.fromkeys((listing.folder, listing.file.parent if listing.file.is_file() else listing.folder))
    names = ((place, name) for place in places for name in os.listdir(place))  # noqa: PTH208 (there may be 100,000)
    found = (place / name for place, name in names if name.endswith(".txt") and WORD.search(name.lower()))
    return sorted(islice((file for file in found if file != listing.file), MOST))


def _divide(
    listing: Listing, images: list[CaptionedImage], known: Mapping[str, CaptionedImage], lists: Mapping[str, Path]
) -> Listing:
    bad = list(listing.bad)
    of_split: dict[str, dict[str, CaptionedImage]] = {}
    named: dict[str, str] = {}
    for split, file in lists.items():
        members = of_split.setdefault(split, {})
        for number, line in enumerate(read_lines(file), start=1):
            if not line:
                continue
            image = known.get(line)
            if image is None:
                remedy = "Remove it from the list, or add its captions."
                bad.append(DataError(f"line {number} names {line}, which has no captions.", file=file, remedy=remedy))
            elif named.setdefault(image.name, split) != split:
                problem = f"line {number} has {line} in the split {split}, another list has it in {named[image.name]}."
                raise DataError(problem, file=file, remedy="Each image must be in exactly one split.")
            else:
                members[image.name] = image
    left_out = Counter(listing.left_out)  # files of their own are counted when the folder is looked through
    left_out["in no list of a split"] += sum(
        bool(one.place and one.place.member) for one in images if one.name not in named
    )
    splits = {split: list(members.values()) for split, members in of_split.items()}
    rule = f"given by the lists {list_names([file.name for file in lists.values()], NAMED)}"
    return replace(listing, splits=splits, rule=rule, remedy="", bad=bad, left_out=+left_out)


def _index(images: list[CaptionedImage]) -> dict[str, CaptionedImage]:
    """Return the images by their names and, where these are not ambiguous, by the ends and stems of them."""
    known: dict[str, CaptionedImage | None] = {}
    for image in images:
        file = posixpath.basename(image.name)
        for name in {file, posixpath.splitext(file)[0], posixpath.splitext(image.name)[0]} - {image.name}:
            known[name] = None if name in known else image
    exact = {image.name: image for image in images}
    return {**{name: image for name, image in known.items() if image is not None}, **exact}


def _is_list(file: Path, known: Mapping[str, CaptionedImage]) -> bool:
    try:
        with file.open(encoding="utf-8-sig") as stream:
            lines = [line.strip() for line in islice(stream, FIRST)]
    except (OSError, ValueError):
        return False
    return sum(line in known for line in lines) * 2 > len(lines)
