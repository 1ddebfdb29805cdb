"""Caption files: UTF-8 text with one caption per line; the captions of an image are on consecutive lines.

An image has five captions, or as many as there are consecutive lines with its id in an id file with one line per
caption.
"""

from __future__ import annotations

import errno
import gzip
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from vsezoo.errors import DataError, explain_system
from vsezoo.storage.plain_file import open_plain, read_plain

CAPTIONS_PER_IMAGE = 5
"""The usual number in all layouts; of COCO images with six or seven captions, the first five are kept."""

NO_TEXT = re.compile("[\ud800-\udfff]")
"""Marks text that is not valid: a byte that is not UTF-8, or half of a UTF-16 surrogate pair."""


LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_]\w+)?")
"""A code that the name of a caption file may contain."""
START = 1 << 16
"""Bytes that `read_start` looks at."""
LARGEST = 2**30
"""Most bytes of a compressed caption file after decompression."""
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""The byte order marks of UTF-16, as written by Excel and Windows PowerShell."""
PACKED = {
    b"PK\x03\x04": "a spreadsheet or a zip archive",
    b"\xd0\xcf\x11\xe0": "a spreadsheet",
    b"\x1f\x8b": "a gzip file",
}
"""What files begin with that are no text, whatever their names."""
NOT_WINDOWS_1252 = re.compile(b"[\x81\x8d\x8f\x90\x9d]")


def decode_text(content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark, or UTF-16 with one.

    Raises:
        UnicodeDecodeError: for any other encoding.
    """
    return content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig")


def read_start(path: Path) -> str:
    """Return the text with which a file begins, for a look at its form; empty if it cannot be read."""
    try:
        with open_plain(path) as stream:
            return stream.read(START).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""


def _unpack(path: Path) -> bytes:
    """Return the content of a compressed file.

    Raises:
        OSError: for more than `LARGEST` bytes; also if it cannot be read.
    """
    with open_plain(path) as stream, gzip.GzipFile(fileobj=stream) as packed:
        content = packed.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST:,} bytes when it is decompressed", str(path))
    return content


def read_lines(path: Path, *, keep_tabs: bool = False) -> list[str]:
    r"""Read a text file as lines without surrounding white space; an empty last line is dropped.

    Lines end at the line feed only, or at the carriage return if there is none: a caption may contain other characters
    at which `str.splitlines` would split, and one extra line would shift every caption after it to another image.

    Args:
        path: the file; `.gz` is decompressed.
        keep_tabs: strip spaces and line ends only, because tabs at the ends of a line separate empty cells.

    Raises:
        DataError: for a file that cannot be read or is neither UTF-8 nor UTF-16 with a byte order mark.
    """
    try:
        content = _unpack(path) if path.suffix == ".gz" else read_plain(path)
        text = decode_text(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"is not a whole gzip file: {error}.", file=path, remedy="Download it again.") from None
    except OSError as error:
        reason, remedy = explain_system(error)
        raise DataError(f"cannot be read: {reason}.", file=path, remedy=remedy) from None
    except UnicodeDecodeError as error:
        if what := next((what for start, what in PACKED.items() if content.startswith(start)), ""):
            remedy = "Save it as CSV (UTF-8), or unpack it."
            raise DataError(f"is {what}, not text.", file=path, remedy=remedy) from None
        if error.encoding.startswith("utf-16"):
            remedy = "The file is truncated: write it again as UTF-8."
            raise DataError(f"is not valid UTF-16 text: {error.reason}.", file=path, remedy=remedy) from None
        line = content.count(b"\n", 0, error.start) + 1
        # Windows-1252 is by far the most frequent single-byte encoding. Where it has curved quotes and dashes, Latin-1
        # has control characters, which nobody writes.
        likely = "latin1" if NOT_WINDOWS_1252.search(content) else "windows-1252"
        raise DataError(
            f"line {line} is not UTF-8 text.",
            file=path,
            remedy=f"Convert the file, for example with `iconv -f {likely} -t utf-8 {path.name}`.",
        ) from None
    end = "\n" if "\n" in text else "\r"  # alone as Excel writes it for old Macintoshes
    lines = [line.strip(" \r\n" if keep_tabs else None) for line in text.split(end)]
    return lines if lines[-1] else lines[:-1]


def read_captions(path: Path, ids: int = 0) -> list[str]:
    """Read the captions of a split.

    An empty line is an empty caption, because dropping it would shift the captions after it. Only surplus empty lines
    at the end are dropped: those beyond the number of ids, or beyond a multiple of five.

    Args:
        path: the file.
        ids: number of lines of the id file, if it exists.

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
    """Return each id that differs from the one before it, and the length of its run."""
    runs = [(name, len(list(group))) for name, group in groupby(ids)]
    return [name for name, _ in runs], [length for _, length in runs]


def name_images(path: Path, ids: Sequence[str], images: int) -> list[str]:
    """Return the ids of images with five captions each; the file has one line per image or one per caption.

    Args:
        path: the id file, for the message.
        ids: its lines.
        images: number of images.

    Raises:
        DataError: for a wrong number of ids, or five that differ.
    """
    remedy = f"Fix or remove {path.name}; without it the images are named by their index."
    if len(ids) == images * CAPTIONS_PER_IMAGE:
        for start in range(0, len(ids), CAPTIONS_PER_IMAGE):
            if len(set(ids[start : start + CAPTIONS_PER_IMAGE])) > 1:
                raise DataError(f"the five ids from line {start + 1} differ.", file=path, remedy=remedy)
        return list(ids[::CAPTIONS_PER_IMAGE])
    if len(ids) != images:
        raise DataError(
            f"contains {len(ids):,} ids for {images:,} images; expected {images:,} or {images * CAPTIONS_PER_IMAGE:,}.",
            file=path,
            remedy=remedy,
        )
    return list(ids)


def find_unwritable(names: Iterable[str]) -> list[str]:
    """Return the names that an id file cannot store: file names may be invalid UTF-8, which Python marks."""
    return [name for name in names if NO_TEXT.search(name)]


def group_by_image(texts: Iterable[str], image_of: Iterable[int], images: Iterable[int]) -> list[list[str]]:
    """Return the captions of images, or the languages of these.

    Args:
        texts: of all captions.
        image_of: the image of each of them.
        images: those that are wanted.
    """
    found: dict[int, list[str]] = {}
    for image, text in zip(image_of, texts, strict=True):
        found.setdefault(image, []).append(text)
    return [found.get(image, []) for image in images]


def write_split(
    stem: Path, ids: Sequence[str], captions: Sequence[Sequence[str]], languages: Sequence[Sequence[str]] = ()
) -> None:
    """Write `STEM_ids.txt` and, if there are captions, `STEM_caps.txt`.

    If each image has five captions, or none has any, the id file has one line per image, otherwise one per caption, so
    that the captions can be assigned when they are read. A line feed within a caption becomes a space. An unpaired
    surrogate, which JSON can contain but UTF-8 cannot, becomes a question mark.

    Where each image has captions in each of several languages, these get a file each, `STEM_caps.de.tsv`, with the id
    of the image before each caption.

    Args:
        stem: path of the files without suffixes.
        ids: image ids, all valid in UTF-8.
        captions: captions of each image.
        languages: of the captions of each image; empty: they are not known.

    Raises:
        OSError: when a file cannot be written.
    """
    counts = {len(group) for group in captions}
    once = counts <= {CAPTIONS_PER_IMAGE} or counts == {0}
    lines = {
        "ids.txt": [name for name, group in zip(ids, captions, strict=True) for _ in ([name] if once else group)],
        "caps.txt": [caption for group in captions for caption in group],
    }
    of_languages = _divide_languages(ids, captions, languages)
    for ending, texts in ({"ids.txt": list(ids), **of_languages} if of_languages else lines).items():
        if texts:
            path, errors = stem.with_name(f"{stem.name}_{ending}"), "strict" if ending == "ids.txt" else "replace"
            with path.open("w", encoding="utf-8", errors=errors, newline="\n") as file:
                file.writelines(text.replace("\n", " ") + "\n" for text in texts)
                file.flush()
                os.fsync(file.fileno())


def _divide_languages(
    ids: Sequence[str], captions: Sequence[Sequence[str]], languages: Sequence[Sequence[str]]
) -> dict[str, list[str]]:
    """Return the lines of the file of each language; none if an image has no captions in one of them."""
    names = sorted({language for of_image in languages for language in of_image})
    if len(names) < 2 or not all(map(LANGUAGE.fullmatch, names)) or any("\t" in name for name in ids):
        return {}
    if any(set(of_image) != set(names) for of_image in languages):
        return {}
    lines: dict[str, list[str]] = {name: [] for name in names}
    for name, texts, of_image in zip(ids, captions, languages, strict=True):
        for text, language in zip(texts, of_image, strict=True):
            lines[language].append(f"{name}\t{text}")
    return {f"caps.{name}.tsv": texts for name, texts in lines.items()}
