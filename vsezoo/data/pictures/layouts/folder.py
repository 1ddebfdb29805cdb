"""A folder of pictures with a table of captions: one's own data, or a data set of Hugging Face's `imagefolder`."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, clean_caption, name_split
from vsezoo.data.pictures.table_file import find_column, read_rows
from vsezoo.errors import DataError

TABLES = ("captions.csv", "captions.tsv", "captions.jsonl", "captions.txt", "metadata.jsonl", "metadata.csv")
IMAGE_COLUMNS = ("image", "file_name", "filename", "file")
CAPTION_COLUMNS = ("caption", "captions", "text", "sentence")

DRAWN = (
    "No column `split` says which split a picture is in, so its name does: about 80 of 100 pictures are in train, 10 "
    "in dev and 10 in test. Write the column to choose yourself."
)


class Row(NamedTuple):
    """What a line of a table says; `split` is empty where it says nothing of that."""

    line: int
    image: str
    captions: list[str]
    split: str


def find_folder(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for a table of captions in the folder, or for one in each of the folders `train`, `dev`, `test`."""
    tables = [folder / name for name in TABLES if name in names]
    of_splits: dict[str, list[Path]] = {}
    for name in names:
        if not tables and name_split(name) in SPLITS:
            found = [folder / name / table for table in TABLES if (folder / name / table).is_file()]
            if found:
                of_splits.setdefault(name_split(name), []).extend(found)
    for several in (tables, *of_splits.values()):
        if len(several) > 1:
            listing = ", ".join(str(path.relative_to(folder)) for path in several)
            remedy = "Leave one of them there, with all captions."
            raise DataError(f"has several tables of captions: {listing}.", file=folder, remedy=remedy)
    if tables:
        return functools.partial(_read_table, folder, tables[0])
    if of_splits:
        return functools.partial(_read_splits, folder, {split: path for split, (path,) in of_splits.items()})
    return None


def draw_split(name: str) -> str:
    """Return a split for a picture by the SHA-256 of its name: it stays there whatever pictures come and go."""
    known = name.encode(errors="surrogatepass")  # names in archives and on disks need not be UTF-8
    tenth = int.from_bytes(hashlib.sha256(known).digest()[:8]) % 10
    return {0: "test", 1: "dev"}.get(tenth, "train")


def _read_table(folder: Path, file: Path) -> Listing:
    rows = list(_read_rows(file))
    if not rows:
        remedy = "Write a line for each caption; of a CSV, the first line names the columns: image,caption."
        raise DataError("names no picture.", file=file, remedy=remedy)
    with_split = [row for row in rows if row.split]
    if with_split and len(with_split) < len(rows):
        line = next(row.line for row in rows if not row.split)
        remedy = "Write train, dev or test into each row, or leave the column out."
        raise DataError(f"line {line} has no split, others have one.", file=file, remedy=remedy)
    choose: Callable[[str], str] = draw_split
    remedy = DRAWN
    if with_split:
        choose, remedy = {row.image: row.split for row in rows}.__getitem__, ""
    elif all(name_split(row.image.split("/")[0]) in SPLITS for row in rows):
        choose, remedy = lambda name: name_split(name.split("/")[0]), ""
    splits: dict[str, dict[str, CaptionedImage]] = {}
    for row in rows:
        split = choose(row.image)
        if row.split not in ("", split):
            problem = f"line {row.line} has {row.image} in the split {row.split}, another line has it in {split}."
            raise DataError(problem, file=file, remedy="A picture belongs into one split.")
        image = splits.setdefault(split, {}).setdefault(row.image, CaptionedImage(row.image, []))
        image.captions.extend(row.captions)
    return Listing(folder, file, {split: list(images.values()) for split, images in splits.items()}, remedy)


def _read_splits(folder: Path, tables: dict[str, Path]) -> Listing:
    splits = {}
    for split, file in tables.items():
        images: dict[str, CaptionedImage] = {}
        for row in _read_rows(file):
            name = f"{file.parent.name}/{row.image}"
            images.setdefault(name, CaptionedImage(name, [])).captions.extend(row.captions)
        splits[split] = list(images.values())
    return Listing(folder, folder, splits)


def _read_rows(file: Path) -> Iterator[Row]:
    image_column = caption_column = ""
    for line, row in read_rows(file):
        if not (image_column in row and caption_column in row):  # objects may have other columns than those before
            image_column, caption_column = (
                find_column(file, line, row, names) for names in (IMAGE_COLUMNS, CAPTION_COLUMNS)
            )
        image, split = row[image_column], row.get("split") or ""
        if not isinstance(image, str) or not image.strip():
            raise DataError(
                f"line {line} names no picture in the column {image_column!r}.",
                file=file,
                remedy="Write the path of its file there, as it is seen from the table.",
            )
        captions = clean_captions(row[caption_column])
        if not captions or not isinstance(split, str):
            problem = f"line {line} has {'an odd split' if captions else 'an empty caption'}: {image.strip()}."
            raise DataError(problem, file=file, remedy="Mend the row, or take it out.")
        yield Row(line, image.strip(), captions, name_split(split))


def clean_captions(value: Any) -> list[str]:
    """Return the captions of a cell, a text or a list of texts, with single spaces; none if one of them is empty."""
    texts = value if isinstance(value, list) else [value]
    captions = [clean_caption(text) for text in texts if isinstance(text, str)]
    return captions if len(captions) == len(texts) and all(captions) else []
