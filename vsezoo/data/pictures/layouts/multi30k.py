"""Captions in several languages as lists, one file for each split and language, as Multi30K has them.

Lines with the same number belong together: `train.en`, `train.de`, and `train.txt` or `train_images.txt` with the names
of the pictures. With several captions for each picture, `train.1.en` to `train.5.en`. Any of them may end in `.gz`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vsezoo.data.caption_file import read_lines
from vsezoo.data.languages import CODES
from vsezoo.data.pictures.listing import CaptionedImage, Listing, clean_caption
from vsezoo.data.pictures.splits import BY_LISTS, find_word
from vsezoo.errors import DataError

CAPTIONS = re.compile(r"(?P<stem>[\w-]+?)(?:\.(?P<number>\d))?\.(?P<language>[a-z]{2})(?:\.gz)?")
IMAGES = ("{}_images.txt", "{}.images.txt", "{}_images.split.txt", "{}.split.txt", "{}.txt", "{}.images")
"""Names of the list of pictures of a split; each may end in `.gz`."""
PLACES = (".", "raw", "captions", "data", "task1/raw", "data/task1/raw", "task2/raw", "data/task2/raw")
SPLITS = "image_splits"  # a folder with lists of pictures
PICTURE = re.compile(r".+\.\w{3,4}(?=#|$)")


class Lists(NamedTuple):
    """The files of a split.

    Attributes:
        images: the names of the pictures.
        captions: by language, in the order of their numbers.
    """

    images: Path
    captions: Mapping[str, Sequence[Path]]


def find_multi30k(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for caption lists such as `train.en` with lists of pictures, in the first of `PLACES` that has some.

    Of several lists of a split, such as `test_2016_flickr` and `test_2017_flickr`, the first is the split, the others
    are splits with their own names.
    """
    for place in filter(Path.is_dir, (folder / name for name in PLACES)):
        found: dict[str, dict[str, list[Path]]] = {}
        for file in sorted(map(place.joinpath, names)) if place == folder else sorted(place.iterdir()):
            match = CAPTIONS.fullmatch(file.name)
            if match and match["language"] in CODES and find_word(match["stem"]):
                found.setdefault(match["stem"], {}).setdefault(match["language"], []).append(file)
        images = {stem: _find_images(folder, place, stem) for stem in found}
        lists = {stem: Lists(file, found[stem]) for stem, file in images.items() if file}
        if lists:
            return functools.partial(_read, folder, place, lists)
    return None


def _find_images(folder: Path, place: Path, stem: str) -> Path | None:
    """Return the list of pictures of a split: beside the captions, or in `image_splits` beside their folder."""
    for where in (place, place / SPLITS, place.parent / SPLITS, folder, folder / SPLITS):
        names = [name.format(stem) for name in IMAGES]
        if found := next(filter(Path.is_file, (where / one for name in names for one in (name, f"{name}.gz"))), None):
            return found
    return None


def _read(folder: Path, place: Path, lists: Mapping[str, Lists]) -> Listing:
    splits: dict[str, list[CaptionedImage]] = {}
    empty: dict[str, str] = {}
    for stem, files in lists.items():
        split = find_word(stem)
        splits[stem if split in splits else split] = list(_read_split(files, empty))
    return Listing(folder, place, splits, rule=BY_LISTS, empty=empty)


def _read_split(files: Lists, empty: dict[str, str]) -> Iterator[CaptionedImage]:
    """Yield the pictures of a split, each with its captions in the order of languages and files."""
    lines = [name.partition("#")[0].strip() for name in read_lines(files.images)]
    images = [CaptionedImage(name if PICTURE.fullmatch(name) else f"{name}.jpg", []) for name in lines]
    for language, captions in sorted(files.captions.items()):
        for file in captions:
            texts = read_lines(file)
            if len(texts) != len(images):
                raise DataError(
                    f"has {len(texts):,} lines, and {files.images.name} names {len(images):,} pictures.",
                    file=file,
                    remedy="Both must have a line for each picture, in the same order: download them again.",
                )
            for number, (image, text) in enumerate(zip(images, texts, strict=True), start=1):
                image.add([clean_caption(text)], [language])
                if not text:
                    empty.setdefault(image.name, f"line {number} of {file.name}")
    merged: dict[str, CaptionedImage] = {}
    for image in images:
        if image.name in merged:
            merged[image.name].add(image.captions, image.languages)
        else:
            merged[image.name] = image
    yield from merged.values()
