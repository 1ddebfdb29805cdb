"""Lists of the pictures of each split: texts such as `train.txt` and `Flickr_8k.devImages.txt`, or `splits.json`.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from vsezoo.data.caption_file import read_lines, read_start
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.data.pictures.splits import BY_FOLDER, DRAWN
from vsezoo.data.pictures.table_columns import ID_COLUMNS, IMAGE_COLUMNS
from vsezoo.errors import DataError, list_names
from vsezoo.storage.plain_file import read_plain

WORD = re.compile(r"train|val|dev|test")
NAME = re.compile(r".*(?:train|val|dev|test).*\.(?:txt|lst|csv)|.*splits?.*\.json")
FOLDERS = ("splits", "split", "lists", "image_splits", "ImageSets/Main")
"""Where lists may be as well."""
MOST = 50  # files that are looked into
FIRST = 20  # lines of a file that are looked at; half of them must name pictures
NAMED = 3


class SplitList(NamedTuple):
    """The names of the pictures of a split.

    Attributes:
        file: that has them.
        lines: of the file, or texts of JSON.
        within: what to say of a place in the file, such as " of train"; empty for lines.
    """

    file: Path
    lines: Sequence[str]
    within: str = ""

    def list_names(self) -> Iterator[tuple[str, str]]:
        """Yield the place and the text of each name, without empty lines and the name of a column."""
        noun, first = ("entry", 0) if self.within else ("line", 1)
        for number, line in enumerate(self.lines):
            name = line.strip(' "\r\ufeff')
            if name and (number or name.lower() not in (*IMAGE_COLUMNS, *ID_COLUMNS)):
                yield f"{noun} {number + first}{self.within}", name

    def is_list(self, known: Mapping[str, CaptionedImage]) -> bool:
        """Return whether more than half of the first lines are names of pictures."""
        names = [name for _, name in islice(self.list_names(), FIRST)]
        return sum(_find(name, known) is not None for name in names) * 2 > len(names)


def apply_split_lists(listing: Listing) -> Listing:
    """Return a listing with the splits of lists in its folder, unless a column or lists of a layout name them.

    A list has the name of a picture, or its stem, on each line; `splits.json` has a list for the name of each split.
    There must be lists of two splits or more.

    Raises:
        DataError: for two lists of one split.
    """
    if listing.rule not in (BY_FOLDER, DRAWN) or not all(isinstance(part, list) for part in listing.splits.values()):
        return listing
    files = _list_candidates(listing)
    if len(files) < 2 and not any(file.suffix == ".json" for file in files):
        return listing
    images = [image for part in listing.splits.values() for image in part]
    known = _index(images)
    lists: dict[str, SplitList] = {}
    for split, one in (found for file in files for found in _read_lists(file, known)):
        if split in lists:
            two = list_names([lists[split].file.name, one.file.name], NAMED)
            problem = f"has two lists of the split {split}: {two}."
            raise DataError(problem, file=listing.folder, remedy="Move one of them to another folder.")
        lists[split] = one
    return _divide(listing, images, known, lists) if len(lists) > 1 else listing


def _list_candidates(listing: Listing) -> list[Path]:
    """Return the texts in the folder, and in that of the list, whose names have words for splits."""
    places = dict.fromkeys((listing.folder, listing.file.parent if listing.file.is_file() else listing.folder))
    inner = [place / name for place in places for name in FOLDERS if (place / name).is_dir()]
    names = ((place, name) for place in (*places, *inner) for name in os.listdir(place))  # noqa: PTH208 (100,000)
    found = (place / name for place, name in names if NAME.fullmatch(name.lower()))
    return sorted(islice((file for file in found if file != listing.file), MOST))


def _read_lists(file: Path, known: Mapping[str, CaptionedImage]) -> Iterator[tuple[str, SplitList]]:
    """Yield the lists of a file: one, whose name has the split, or those of an object of JSON."""
    if file.suffix == ".json":
        with suppress(ValueError, OSError, RecursionError):
            value = json.loads(read_plain(file))
            for name, of in value.items() if isinstance(value, dict) else ():
                found = SplitList(file, [*map(str, of)] if isinstance(of, list) else [], f" of {name}")
                if name_split(name) in SPLITS and found.is_list(known):
                    yield name_split(name), found
    elif SplitList(file, read_start(file).split("\n")).is_list(known):
        yield name_split(WORD.findall(file.stem.lower())[-1]), SplitList(file, read_lines(file))


def _divide(
    listing: Listing, images: list[CaptionedImage], known: Mapping[str, CaptionedImage], lists: Mapping[str, SplitList]
) -> Listing:
    bad = list(listing.bad)
    of_split: dict[str, dict[str, CaptionedImage]] = {}
    named: dict[str, str] = {}
    for split, one in lists.items():
        members = of_split.setdefault(split, {})
        for place, name in one.list_names():
            image = _find(name, known)
            if image is None:
                remedy = "Remove it from the list, or add its captions."
                bad.append(DataError(f"{place} names {name}, which has no captions.", file=one.file, remedy=remedy))
            elif named.setdefault(image.name, split) != split:
                problem = f"{place} has {name} in the split {split}, another list has it in {named[image.name]}."
                raise DataError(problem, file=one.file, remedy="Each image must be in exactly one split.")
            else:
                members[image.name] = image
    left_out = Counter(listing.left_out)  # files of their own are counted when the folder is looked through
    left_out["in no list of a split"] += sum(
        bool(one.place and one.place.member) for one in images if one.name not in named
    )
    splits = {split: list(members.values()) for split, members in of_split.items()}
    files = dict.fromkeys(one.file.name for one in lists.values())
    rule = f"given by the {'lists' if len(files) > 1 else 'list'} {list_names([*files], NAMED)}"
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


def _find(name: str, known: Mapping[str, CaptionedImage]) -> CaptionedImage | None:
    """Return the image of a name in a list, which may be a longer path than that of the captions: `./images/a.jpg`."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if image := known.get(name) or known.get(path):
        return image
    parts = path.split("/")
    ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
    return next((known[end] for end in ends if end in known and known[end].name == end), None)
