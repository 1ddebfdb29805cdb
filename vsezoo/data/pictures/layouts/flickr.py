"""Flickr8K and Flickr30K as their authors distribute them: a file of captions, and lists of pictures for the splits."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE, read_lines
from vsezoo.data.pictures.listing import CaptionedImage, Listing, clean_caption
from vsezoo.errors import DataError

FLICKR8K_TOKENS = "Flickr8k.token.txt"
FLICKR8K_LISTS = {split: f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")}
FLICKR30K_TOKENS = "results_20130124.token"
FLICKR30K_RESULTS = "results.csv"
FLICKR30K_LISTS = {"train": "train.txt", "dev": "val.txt", "test": "test.txt"}

TOKEN = re.compile(r"([^\t]+)#(\d+)\t(.*\S)")
# One line of the file has no bar after the number.
RESULT = re.compile(r"([^|]+?)\s*\|\s*(\d+)\s*(?:\||\s)\s*(.*\S)")


def find_flickr8k(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `Flickr8k.token.txt`.

    It has captions for 91 pictures that are in no split, and five for a name that ends in `.jpg.1`: they are not used.
    """
    if FLICKR8K_TOKENS not in names:
        return None
    return functools.partial(_read, folder, folder / FLICKR8K_TOKENS, TOKEN, FLICKR8K_LISTS, "")


def find_flickr30k(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `results_20130124.token` or `results.csv`; the splits are lists of ids without `.jpg`."""
    for file, pattern in ((FLICKR30K_TOKENS, TOKEN), (FLICKR30K_RESULTS, RESULT)):
        if file in names:
            return functools.partial(_read, folder, folder / file, pattern, FLICKR30K_LISTS, ".jpg")
    return None


def _read(
    folder: Path, captions_file: Path, pattern: re.Pattern[str], lists: Mapping[str, str], ending: str
) -> Listing:
    lists_there = {split: folder / file for split, file in lists.items() if (folder / file).is_file()}
    if not lists_there:
        raise DataError(
            "has captions, but no list says which pictures are in which split.",
            file=captions_file,
            remedy=f"Put {', '.join(lists.values())} beside it.",
        )
    captions = _read_captions(captions_file, pattern)
    splits = {}
    for split, file in lists_there.items():
        images: dict[str, CaptionedImage] = {}
        for number, line in enumerate(read_lines(file), start=1):
            if line:
                name = line if line.endswith(ending) else line + ending
                if name not in captions:
                    problem = f"line {number} names {name}, which has no captions in {captions_file.name}."
                    raise DataError(problem, file=file, remedy="Take it off the list, or add its captions.")
                images[name] = CaptionedImage(name, captions[name])
        splits[split] = list(images.values())
    return Listing(folder, captions_file, splits, remedy=f"Their lists are {', '.join(lists.values())}.")


def _read_captions(file: Path, pattern: re.Pattern[str]) -> dict[str, list[str]]:
    """Return the first five captions of each picture, in the order of their numbers."""
    numbered: dict[str, dict[int, str]] = {}
    for number, line in enumerate(read_lines(file), start=1):
        if not line or (number == 1 and line.startswith("image_name|")):
            continue
        found = pattern.fullmatch(line)
        if found is None:
            form = "IMAGE#NUMBER, a tab, and a caption" if pattern is TOKEN else "IMAGE| NUMBER| CAPTION"
            problem = f"line {number} is not {form}: {line[:60]!r}."
            raise DataError(problem, file=file, remedy="Mend the line, or download the file again.")
        numbered.setdefault(found[1], {})[int(found[2])] = clean_caption(found[3])
    return {
        name: [captions[number] for number in sorted(captions)][:CAPTIONS_PER_IMAGE]
        for name, captions in numbered.items()
    }
