"""Flickr8K and Flickr30K as distributed by their authors: a caption file, and a list of pictures for each split."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE, read_lines
from vsezoo.data.pictures.listing import CaptionedImage, Listing, clean_caption
from vsezoo.data.pictures.splits import gather
from vsezoo.errors import DataError

FLICKR8K_TOKENS = "Flickr8k.token.txt"
FLICKR8K_LISTS = {split: f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")}
FLICKR30K_TOKENS = "results_20130124.token"
FLICKR30K_RESULTS = "results.csv"
FLICKR30K_LISTS = {"train": "train.txt", "dev": "val.txt", "test": "test.txt"}

OF_30K = " (they come with Flickr30K Entities), or pass the folder as --data ./FOLDER to assign the splits randomly"

TOKEN = re.compile(r"([^\t]+)#(\d+)\t(.*\S)")
# One line of the file has no bar after the number.
RESULT = re.compile(r"([^|]+?)\s*\|\s*(\d+)\s*(?:\||\s)\s*(.*\S)")


def find_flickr8k(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `Flickr8k.token.txt`, in the folder or in a subfolder, since the two archives unpack side by side.

    It has captions of 91 pictures that are in no split, and five of a name that ends in `.jpg.1`; these are not used.
    """
    file = _find(folder, names, FLICKR8K_TOKENS)
    return functools.partial(_read, folder, file, TOKEN, FLICKR8K_LISTS, "") if file else None


def find_flickr30k(folder: Path, names: Sequence[str], *, may_draw: bool = True) -> Callable[[], Listing] | None:
    """Look for `results_20130124.token` or `results.csv`; the splits are lists of ids without `.jpg`.

    Args:
        folder: the data folder.
        names: names of its files and folders.
        may_draw: assign splits randomly if there are no lists, as for other pictures. False for the standard data
            set, whose published figures use the lists.
    """
    for name, pattern in ((FLICKR30K_TOKENS, TOKEN), (FLICKR30K_RESULTS, RESULT)):
        if file := _find(folder, names, name):
            return functools.partial(_read, folder, file, pattern, FLICKR30K_LISTS, ".jpg", may_draw=may_draw)
    return None


def _find(folder: Path, names: Sequence[str], file: str) -> Path | None:
    if file in names:
        return folder / file
    return next((found for name in names if (found := folder / name / file).is_file()), None)


def _read(
    folder: Path,
    captions_file: Path,
    pattern: re.Pattern[str],
    lists: Mapping[str, str],
    ending: str,
    *,
    may_draw: bool = False,
) -> Listing:
    place = captions_file.parent
    lists_there = {split: place / file for split, file in lists.items() if (place / file).is_file()}
    bad: list[DataError] = []
    if not lists_there and may_draw:
        texts_of = _read_captions(captions_file, pattern, bad)
        found = {name: CaptionedImage(name, texts[:CAPTIONS_PER_IMAGE]) for name, texts in texts_of.items()}
        drawn = gather(folder, captions_file, found)
        remedy = f"{drawn.remedy} The standard splits are {', '.join(lists.values())}.".strip()
        return replace(drawn, bad=bad, remedy=remedy, cut=_count_cut(texts_of.values()))
    if not lists_there:
        raise DataError(
            "has captions, but there are no lists of the pictures in each split.",
            file=captions_file,
            remedy=f"Copy {', '.join(lists.values())} to the same folder{OF_30K if ending else ''}.",
        )
    captions = _read_captions(captions_file, pattern, bad)
    splits, cut = {}, 0
    for split, file in lists_there.items():
        images: dict[str, CaptionedImage] = {}
        for number, line in enumerate(read_lines(file), start=1):
            if line:
                name = line if line.endswith(ending) else line + ending
                if name not in captions:
                    problem = f"line {number} names {name}, which has no captions in {captions_file.name}."
                    remedy = "Remove it from the list, or add its captions."
                    bad.append(DataError(problem, file=file, remedy=remedy))
                    continue
                images[name] = CaptionedImage(name, captions[name][:CAPTIONS_PER_IMAGE])
        cut += _count_cut(captions[name] for name in images)
        splits[split] = list(images.values())
    remedy = f"The lists are {', '.join(lists.values())}."
    return Listing(folder, captions_file, splits, remedy, "given by the lists next to the captions", bad=bad, cut=cut)


def _count_cut(captions: Iterable[Sequence[str]]) -> int:
    """Return how many captions are beyond the first five of their pictures."""
    return sum(max(0, len(texts) - CAPTIONS_PER_IMAGE) for texts in captions)


def _read_captions(file: Path, pattern: re.Pattern[str], bad: list[DataError]) -> dict[str, list[str]]:
    """Return the captions of each picture, in the order of their numbers; lines of another form are bad."""
    numbered: dict[str, dict[int, str]] = {}
    for number, line in enumerate(read_lines(file), start=1):
        if not line or (number == 1 and line.startswith("image_name|")):
            continue
        found = pattern.fullmatch(line)
        if found is None:
            form = "IMAGE#NUMBER, a tab, and a caption" if pattern is TOKEN else "IMAGE| NUMBER| CAPTION"
            problem = f"line {number} is not {form}: {line[:60]!r}."
            bad.append(DataError(problem, file=file, remedy="Fix the line, or download the file again."))
            continue
        numbered.setdefault(found[1], {})[int(found[2])] = clean_caption(found[3])
    return {name: [captions[number] for number in sorted(captions)] for name, captions in numbered.items()}
