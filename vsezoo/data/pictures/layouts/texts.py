"""Text files next to pictures: `a.jpg` and `a.txt`, as many people write captions, and as img2dataset stores files."""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.cells import find_captions, find_languages
from vsezoo.data.pictures.find import compose
from vsezoo.data.pictures.listing import CaptionedImage, Listing
from vsezoo.data.pictures.splits import gather
from vsezoo.data.pictures.walk import PICTURES, list_pictures
from vsezoo.errors import DataError

ENDINGS = (".txt", ".caption", ".json")
"""Suffixes of caption files: texts with one caption per line, or an object of JSON; the first that exists is used."""
PARALLEL = ("captions", "caption", "text", "texts", "txt", "text_c10", "descriptions", "sentences")
"""Folders of texts next to that of the pictures, as of CUB and Flickr30K Entities. `labels` has boxes, as YOLO's."""
PHRASE = re.compile(r"\[/EN#\d+\S* ([^\]]*)\]")
"""A phrase of Flickr30K Entities: `[/EN#1/people A man] runs`."""
MOST = 50  # objects of JSON in which captions are looked for


def find_texts(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for a picture, at any depth, with a text file of the same name beside it, or in one of `PARALLEL`.

    An object of JSON counts if it has captions, since others have boxes.
    """
    texts = _Texts(folder, [folder / name for name in names if name.lower() in PARALLEL and (folder / name).is_dir()])
    found = filter(None, map(texts.find, list_pictures(folder)))
    objects = 0
    for text in found:
        if text.suffix.lower() != ".json" or _has_captions(text):
            return functools.partial(_read, folder, texts)
        if (objects := objects + 1) == MOST:
            return None
    return None


class _Texts:
    """The files of captions that belong to pictures.

    Args:
        folder: the data folder.
        others: folders in it that may have the texts.
    """

    def __init__(self, folder: Path, others: Sequence[Path]) -> None:
        self._folder, self._others = folder, others
        self._list = functools.cache(_list_texts)  # to list a folder once is quicker than to ask for each text

    def find(self, picture: Path) -> Path | None:
        """Return the text beside a picture, `a.txt` or `a.jpg.txt`, or that of `images/x/a.jpg` in `text/x`."""
        parts = picture.relative_to(self._folder).parts[1:] if self._others else ()
        places = (picture, *(other.joinpath(*parts) for other in self._others if parts))
        return next(filter(None, map(self._find_beside, places)), None)

    def _find_beside(self, picture: Path) -> Path | None:
        exact, folded = self._list(picture.parent)
        for ending in ENDINGS:
            for name in (picture.stem + ending, picture.name + ending):
                if found := name if name in exact else folded.get(_fold(name)):
                    return picture.with_name(found)
        return None

    def count_others(self, read: Sequence[Path | None]) -> list[str]:
        """Return how many texts with the stem of one that was read were not, by suffix: `12 *.caption`."""
        names = {(text.parent, text.name) for text in read if text}
        stems = {(folder, _find_stem(name)) for folder, name in names}
        others = Counter(
            Path(name).suffix.lower()
            for folder in {folder for folder, _ in names}
            for name in self._list(folder)[0]
            if (folder, name) not in names and (folder, _find_stem(name)) in stems
        )
        return [f"{others[ending]:,} *{ending}" for ending in ENDINGS[:-1] if others[ending]]  # JSON has other facts


def _list_texts(folder: Path) -> tuple[frozenset[str], dict[str, str]]:
    """Return the names of the texts in a folder, and the same by what is compared."""
    try:
        names = [name for name in os.listdir(folder) if name.lower().endswith(ENDINGS)]  # noqa: PTH208
    except OSError:
        names = []
    return frozenset(names), {_fold(name): name for name in names}


def _find_stem(name: str) -> str:
    """Return the stem of the picture of a text: `a` of `a.txt` and of `a.jpg.txt`."""
    stem = name.rpartition(".")[0]
    shorter, dot, ending = stem.rpartition(".")
    return shorter if f"{dot}{ending.lower()}" in PICTURES else stem


def _fold(name: str) -> str:
    """Return a name with composed accents and a suffix in lower case, of which disks differ."""
    stem, _, ending = compose(name).rpartition(".")
    return f"{stem}.{ending.lower()}"


def _has_captions(file: Path) -> bool:
    try:
        return bool(_read_text(file)[0])
    except DataError:
        return False


def _read_text(file: Path) -> tuple[list[str], list[str]]:
    """Return the captions of a file, and their languages, if JSON names them.

    Raises:
        DataError: for a file that cannot be read, or is neither text nor JSON.
    """
    lines = read_lines(file)
    if file.suffix.lower() != ".json":
        return find_captions([PHRASE.sub(r"\1", line) for line in lines]), []
    try:
        value = json.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        remedy = 'Write an object such as {"caption": "a dog runs"}.'
        raise DataError(f"is not JSON: {error}.", file=file, remedy=remedy) from None
    captions = find_captions(value)
    try:
        return captions, find_languages(value, captions)
    except ValueError as error:
        raise DataError(f"has {error}.", file=file, remedy="Write one language for each caption.") from None


def _read(folder: Path, texts: _Texts) -> Listing:
    """Read all pictures; those without a text file have no caption, and are refused or skipped when opened."""
    from vsezoo.data.pictures.picture_file import Place  # imports numpy

    images: dict[str, CaptionedImage] = {}
    empty, bad, read = {}, list[DataError](), list[Path | None]()
    for picture in list_pictures(folder):
        text, captions, languages = texts.find(picture), list[str](), list[str]()
        read.append(text)
        name = picture.relative_to(folder).as_posix()
        try:
            captions, languages = _read_text(text) if text else ([], [])
        except DataError as error:
            if text and text.suffix.lower() != ".json":
                raise
            bad.append(error)
        images[name] = CaptionedImage(name, captions, Place(str(picture)), languages)
        if not captions:
            empty[name] = f"{text.name} is empty" if text else f"no {picture.stem}.txt"
    return replace(gather(folder, folder, images, empty), bad=bad, unread=texts.count_others(read))
