"""Text files next to pictures: `a.jpg` and `a.txt`, as many people write captions, and as img2dataset stores files."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.listing import CaptionedImage, Listing, clean_caption
from vsezoo.data.pictures.splits import gather
from vsezoo.data.pictures.walk import list_pictures

ENDINGS = (".txt", ".caption")
"""Suffixes of caption files with one caption per line; the first that exists is used."""
PARALLEL = ("captions", "caption", "text", "texts", "txt", "text_c10", "descriptions")
"""Folders of texts next to that of the pictures, as of CUB. `labels` is not one of them: it has boxes, as YOLO's."""


def find_texts(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for a picture, at any depth, with a text file of the same name beside it, or in one of `PARALLEL`."""
    others = [folder / name for name in names if name.lower() in PARALLEL and (folder / name).is_dir()]
    if any(_find_text(picture, folder, others) for picture in list_pictures(folder)):
        return functools.partial(_read, folder, others)
    return None


def _find_text(picture: Path, folder: Path, others: Sequence[Path]) -> Path | None:
    """Return the text beside a picture, or of `images/x/a.jpg` in `text/x`."""
    if found := _find_beside(picture):
        return found
    path = picture.relative_to(folder).parts[1:] if others else ()
    return next((text for other in others if path and (text := _find_beside(other.joinpath(*path)))), None)


def _find_beside(picture: Path) -> Path | None:
    """Return the text beside a picture; one of them may have its accents composed and the other decomposed."""
    texts = [picture.with_suffix(ending) for ending in ENDINGS]
    found = next((text for text in texts if text.is_file()), None)
    if found or picture.name.isascii():
        return found
    spelt = ((unicodedata.normalize(form, text.name), text) for text in texts for form in ("NFC", "NFD"))
    return next((other for name, text in spelt if (other := text.with_name(name)).is_file()), None)


def _read(folder: Path, others: Sequence[Path]) -> Listing:
    """Read all pictures; those without a text file have no caption, and are refused or skipped when opened."""
    from vsezoo.data.pictures.picture_file import Place  # imports numpy

    images: dict[str, CaptionedImage] = {}
    empty = {}
    for picture in list_pictures(folder):
        text = _find_text(picture, folder, others)
        lines = [line for line in read_lines(text) if line] if text else []
        name = picture.relative_to(folder).as_posix()
        images[name] = CaptionedImage(name, list(map(clean_caption, lines)), Place(str(picture)))
        if not lines:
            empty[name] = f"{text.name} is empty" if text else f"no {picture.stem}.txt"
    return gather(folder, folder, images, empty)
