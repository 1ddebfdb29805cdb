"""Caption files: one caption on each line, those of an image on neighbouring lines. UTF-8 text, never bytes.

An image has five captions, or as many as there are neighbouring lines with its id in an id file of one line for each
caption.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from vsezoo.errors import DataError

CAPTIONS_PER_IMAGE = 5
"""What every layout of the field has; of the six or seven captions of some COCO images the first five are kept."""

NO_TEXT = re.compile("[\ud800-\udfff]")
"""What stands in a text for what is none: a byte that is not UTF-8, or the half of a letter of UTF-16."""


UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks that UTF-16 begins with, as Excel and Windows PowerShell write it."""
NOT_WINDOWS_1252 = re.compile(b"[\x81\x8d\x8f\x90\x9d]")


def decode_text(content: bytes) -> str:
    """Decode UTF-8, with or without its byte order mark, or UTF-16 with one.

    Raises:
        UnicodeDecodeError: for anything else.
    """
    return content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig")


def read_lines(path: Path, *, keep_tabs: bool = False) -> list[str]:
    r"""Read a text file as lines stripped of white space, without what follows the last line feed if it is empty.

    Lines end at the line feed alone: a caption may hold any other character at which `str.splitlines` would cut,
    and one line too many would shift every caption after it to another image.

    Args:
        path: the file.
        keep_tabs: strip spaces and line ends alone, since tabs at the ends of a line separate empty cells.

    Raises:
        DataError: for a file that cannot be read or is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    try:
        content = path.read_bytes()
        text = decode_text(content)
    except OSError as error:
        remedy = "There must be a file that you may read."
        raise DataError(f"cannot be read: {error.strerror}.", file=path, remedy=remedy) from None
    except UnicodeDecodeError as error:
        if error.encoding.startswith("utf-16"):
            remedy = "Write the file again as UTF-8; it was cut off."
            raise DataError(f"is not whole UTF-16 text: {error.reason}.", file=path, remedy=remedy) from None
        line = content.count(b"\n", 0, error.start) + 1
        # Of the encodings of one byte, Windows-1252 is by far the most frequent. What Latin-1 has in place of its
        # curved quotes and dashes are control characters, which nobody writes.
        likely = "latin1" if NOT_WINDOWS_1252.search(content) else "windows-1252"
        raise DataError(
            f"line {line} is not UTF-8 text.",
            file=path,
            remedy=f"Convert the file, for example with `iconv -f {likely} -t utf-8 {path.name}`.",
        ) from None
    lines = [line.strip(" \r\n" if keep_tabs else None) for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def read_captions(path: Path, ids: int = 0) -> list[str]:
    """Read the captions of a split.

    An empty line is an empty caption, because dropping it would shift the captions after it. Only empty lines at
    the end that are too many, for the ids or else for whole groups of five, are dropped.

    Args:
        path: the file.
        ids: how many lines the id file has, if there is one.

    Raises:
        DataError: for a file that cannot be read or is not UTF-8.
    """
    captions = read_lines(path)
    if 0 < ids <= len(captions) and not any(captions[ids:]):
        return captions[:ids]
    while len(captions) % CAPTIONS_PER_IMAGE and not captions[-1]:
        captions.pop()
    return captions


def find_runs(ids: Sequence[str]) -> tuple[list[str], list[int]]:
    """Return the ids that differ from the one before them, and how often each stands in succession."""
    runs = [(name, len(list(group))) for name, group in groupby(ids)]
    return [name for name, _ in runs], [length for _, length in runs]


def name_images(path: Path, ids: Sequence[str], images: int) -> list[str]:
    """Return the ids of images with five captions each; they stand once for each image or once for each caption.

    Args:
        path: the file of the ids, for the message.
        ids: its lines.
        images: how many there are.

    Raises:
        DataError: for another number of ids, or five that differ.
    """
    remedy = f"Mend or remove {path.name}; without it the images are named by their index."
    if len(ids) == images * CAPTIONS_PER_IMAGE:
        for start in range(0, len(ids), CAPTIONS_PER_IMAGE):
            if len(set(ids[start : start + CAPTIONS_PER_IMAGE])) > 1:
                raise DataError(f"the five ids from line {start + 1} differ.", file=path, remedy=remedy)
        return list(ids[::CAPTIONS_PER_IMAGE])
    if len(ids) != images:
        raise DataError(
            f"holds {len(ids):,} ids for {images:,} images; expected {images:,} or {images * CAPTIONS_PER_IMAGE:,}.",
            file=path,
            remedy=remedy,
        )
    return list(ids)


def find_unwritable(names: Iterable[str]) -> list[str]:
    """Return the names that an id file cannot hold: those of files need not be UTF-8, and Python marks what is not."""
    return [name for name in names if NO_TEXT.search(name)]


def write_split(stem: Path, ids: Sequence[str], captions: Sequence[Sequence[str]]) -> None:
    """Write `STEM_ids.txt` and, if there are captions, `STEM_caps.txt`.

    Where each image has five captions, or none has any, an id stands once, else once for each caption of its image, so
    that the captions can be told apart when they are read. A line feed within a caption becomes a space, and the half
    of a letter, which JSON can write and UTF-8 cannot, a question mark.

    Args:
        stem: the files without their endings.
        ids: of the images, all of which UTF-8 can hold.
        captions: of each image.

    Raises:
        OSError: when a file cannot be written.
    """
    counts = {len(group) for group in captions}
    once = counts <= {CAPTIONS_PER_IMAGE} or counts == {0}
    lines = {
        "ids": [name for name, group in zip(ids, captions, strict=True) for _ in ([name] if once else group)],
        "caps": [caption for group in captions for caption in group],
    }
    for ending, texts in lines.items():
        if texts:
            path, errors = stem.with_name(f"{stem.name}_{ending}.txt"), "strict" if ending == "ids" else "replace"
            with path.open("w", encoding="utf-8", errors=errors, newline="\n") as file:
                file.writelines(text.replace("\n", " ") + "\n" for text in texts)
