"""A folder of pictures with a caption table: user data, or a data set in Hugging Face's `imagefolder` format."""

from __future__ import annotations

import functools
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.languages import find_code, find_language_column
from vsezoo.data.pictures.cells import read_captions, read_languages
from vsezoo.data.pictures.find import find_files
from vsezoo.data.pictures.joined_tables import Tables, join_tables, require_distinct
from vsezoo.data.pictures.json_table import note
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.data.pictures.splits import (
    BY_COLUMN,
    BY_TABLE,
    REMEDY_WORDS,
    find_word,
    gather,
    normalise_path,
    place_within,
)
from vsezoo.data.pictures.table_columns import (
    ID_COLUMNS,
    IMAGE_COLUMNS,
    JSON,
    SPLIT_COLUMN,
    SPLIT_SYNONYMS,
    find_columns,
)
from vsezoo.data.pictures.table_file import LINES, is_table, read_rows
from vsezoo.errors import DataError

TABLES = ("captions.csv", "captions.tsv", "captions.jsonl", "captions.txt", "metadata.jsonl", "metadata.csv")
ENDINGS = (".csv", ".tsv", *JSON, *LINES)
"""Suffixes of tables with other names, which are recognised by their first line."""
MOST = 100  # files whose first line is read


class Row(NamedTuple):
    """The contents of a table row; `place` is its line, and `split` is empty if the row does not name one."""

    file: Path
    place: str
    image: str
    captions: list[str]
    split: str
    languages: list[str]


def find_folder(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for a caption table in the folder, or in each of the folders `train`, `dev`, `test`.

    These may be in a subfolder: `data/train`. If no table has one of the known names, any name will do; several tables
    must be named after splits: `train.csv`, `val.csv`, or be such as are read together, see `join_tables`.
    """
    if known := [folder / name for name in TABLES if name in names]:
        return functools.partial(_read_known, folder, join_tables(folder, known), names)
    of_splits = _find_in_splits(folder, names)
    if not of_splits:
        for name in names:
            place = folder / name
            if place.is_dir() and not name.startswith("."):
                for split, tables in _find_in_splits(place, _list(place)).items():
                    of_splits.setdefault(split, []).extend(tables)
    if of_splits:
        chosen = {split: join_tables(folder, tables) for split, tables in of_splits.items()}
        return functools.partial(_read_splits, folder, chosen, within=True)
    others = _list_tables(folder, names)
    of_words: dict[str, list[Path]] = {}
    for file in others:
        of_words.setdefault(find_word(file.stem), []).append(file)
    if len(others) > 1 and "" not in of_words:
        joined = {split: join_tables(folder, files) for split, files in of_words.items()}
        return functools.partial(_read_splits, folder, joined, within=False)
    return functools.partial(_read_table, folder, join_tables(folder, others)) if others else None


def _list_tables(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return the tables with any name, recognised by their first lines."""
    named = (folder / name for name in names if name.lower().endswith(ENDINGS) and not name.startswith("."))
    return [file for file in islice(named, MOST) if is_table(file)]


def _find_in_splits(folder: Path, names: Sequence[str]) -> dict[str, list[Path]]:
    """Return the tables in folders named after splits."""
    found: dict[str, list[Path]] = {}
    for name in names:
        if name_split(name) in SPLITS:
            tables = [folder / name / table for table in TABLES if (folder / name / table).is_file()]
            if tables:
                found.setdefault(name_split(name), []).extend(tables)
    return found


def _list(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _read_known(folder: Path, tables: Tables, names: Sequence[str]) -> Listing:
    """Read a table with a known name, and note the others next to it."""
    unread = [other.name for other in _list_tables(folder, names) if other not in tables]
    return replace(_read_table(folder, tables), unread=unread)


class _Pictures:
    """Pictures by id, each with the captions of all its rows; and the errors of rows that are left out."""

    def __init__(self) -> None:
        self.of: dict[str, CaptionedImage] = {}
        self.empty: dict[str, str] = {}
        self.bad: list[DataError] = []

    def add(self, name: str, row: Row) -> None:
        self.of.setdefault(name, CaptionedImage(name, [])).add(row.captions, row.languages)
        if not all(row.captions):
            self.empty.setdefault(name, row.place)


def _read_table(folder: Path, tables: Tables) -> Listing:
    pictures, of_row = _Pictures(), dict[str, str]()
    rows, column = _read_rows(tables, pictures.bad)
    file = next(iter(tables)) if len(tables) == 1 else folder
    if not rows and pictures.bad:
        raise pictures.bad[0]
    if not rows:
        remedy = "Write a line for each caption; the first line of a CSV file names the columns: image,caption."
        raise DataError("names no picture.", file=file, remedy=remedy)
    with_split = [row for row in rows if row.split]
    for row in rows:
        if with_split and not row.split:
            remedy = "Write train, dev or test into each row, or leave the column out."
            pictures.bad.append(DataError(f"{row.place} has no split, but others do.", file=row.file, remedy=remedy))
            continue
        name = normalise_path(row.image, folder)
        if row.split != of_row.setdefault(name, row.split):
            problem = f"{row.place} has {name} in the split {row.split}, another line has it in {of_row[name]}."
            raise DataError(problem, file=row.file, remedy="Each image must be in exactly one split.")
        pictures.add(name, row)
    if with_split:
        return _gather(folder, file, pictures, of_row, column)
    return replace(gather(folder, file, pictures.of, pictures.empty), bad=pictures.bad)


def _gather(folder: Path, file: Path, pictures: _Pictures, of: dict[str, str], column: str) -> Listing:
    _merge_names(folder, file, pictures.of, of)
    splits: dict[str, list[CaptionedImage]] = {}
    for name, image in pictures.of.items():
        splits.setdefault(of[name], []).append(image)
    remedy = "" if set(splits) & set(SPLITS) else REMEDY_WORDS
    return Listing(folder, file, splits, remedy, BY_COLUMN.format(column), empty=pictures.empty, bad=pictures.bad)


def _merge_names(folder: Path, file: Path, images: dict[str, CaptionedImage], split_of: dict[str, str]) -> None:
    """Make one picture of those whose names, such as `a.jpg` and `images/a.jpg`, refer to one file.

    Raises:
        DataError: if these are in different splits.
    """
    counts = Counter(posixpath.basename(name) for name in images)
    similar = [name for name in images if counts[posixpath.basename(name)] > 1]
    first: dict[str, str] = {}
    for name, found in zip(similar, find_files(folder, similar), strict=True):
        if found is None or (own := first.setdefault(found, name)) == name:
            continue
        if split_of[own] != split_of[name]:
            problem = f"has one picture as {own} in the split {split_of[own]}, and as {name} in {split_of[name]}."
            raise DataError(problem, file=file, remedy="Each image must be in exactly one split.")
        images[own].add(images[name].captions, images[name].languages)
        del images[name]


def _read_splits(folder: Path, of_splits: Mapping[str, Tables], *, within: bool) -> Listing:
    """Read the tables of each split; their names are relative to their own folder."""
    splits: dict[str, list[CaptionedImage]] = {}
    empty, bad = dict[str, str](), list[DataError]()
    for split, tables in of_splits.items():
        pictures = _Pictures()
        for row in _read_rows(tables, bad)[0]:
            prefix = f"{row.file.parent.relative_to(folder).as_posix()}/" if within else ""
            if row.split not in ("", split):
                problem = f"{row.place} has the split {row.split}, and the table is that of {split}."
                raise DataError(problem, file=row.file, remedy="Fix the column, or move the table.")
            pictures.add(normalise_path(f"{prefix}{row.image}", folder), row)
        splits[split] = list(pictures.of.values())
        for place in dict.fromkeys(file.parent.relative_to(folder).as_posix() for file in tables) if within else ():
            place_within(folder, place, splits[split])
        empty |= pictures.empty
    return Listing(folder, folder, splits, rule=BY_TABLE, empty=empty, bad=bad)


def _read_rows(tables: Tables, bad: list[DataError]) -> tuple[list[Row], str]:
    """Return the rows, and the column of the splits; empty if there is none."""
    if len(tables) > 1:
        require_distinct([file for file, language in tables.items() if not language])
    found, columns = list[Row](), dict[str, None]()
    for file, language in tables.items():
        rows = list(read_rows(file, bad))
        column = _find_split_column(rows)
        columns[column] = None
        found += _interpret(file, rows, column, language, bad)
    return found, " or ".join(filter(None, columns))


def _find_split_column(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    if any(SPLIT_COLUMN in row for _, row in rows):
        return SPLIT_COLUMN
    for name in SPLIT_SYNONYMS:
        cells = [row.get(name) for _, row in rows]
        if cells and all(isinstance(cell, str) and name_split(cell) in SPLITS for cell in cells):
            return name
    return ""


def _find_name(cell: Any, column: str) -> str:
    """Return the name of a picture: a text, an id that is a number, or the path in an object, as `datasets` writes it.

    A list of one of these will do.
    """
    if isinstance(cell, list) and len(cell) == 1:
        (cell,) = cell
    if isinstance(cell, dict):
        cell = next((cell[key] for key in ("path", *IMAGE_COLUMNS) if key in cell), None)
    is_name = isinstance(cell, str) or (isinstance(cell, int) and column in ID_COLUMNS)
    return str(cell) if is_name else ""


def _interpret(
    file: Path, rows: Sequence[tuple[str, dict[str, Any]]], split_column: str, of_file: str, bad: list[DataError]
) -> Iterator[Row]:
    image_column, language_column, caption_columns, known = "", "", list[str](), dict[str, Any]().keys()
    for place, row in rows:
        if row.keys() != known:  # objects may have other columns
            image_column, caption_columns = find_columns(file, place, list(row))
            language_column, known = find_language_column(list(row)), row.keys()
        image = _find_name(row[image_column], image_column)
        split = (row.get(split_column) if split_column else "") or ""  # pandas' index is ""
        if not image.strip():
            remedy = "Write the path of its file there, relative to the table."
            note(DataError(f"{place} names no picture in the column {image_column!r}.", file=file, remedy=remedy), bad)
            continue
        try:
            found = [(name, caption) for name in caption_columns for caption in read_captions(row[name])]
            named = read_languages(row.get(language_column) if language_column else None, len(found))
            if not isinstance(split, str):
                raise ValueError(f"an invalid split: {split!r}")
        except ValueError as error:
            problem = f"{place} has {error} ({image.strip()})."
            note(DataError(problem, file=file, remedy="Fix the row, or remove it."), bad)
            continue
        captions = [caption for _, caption in found]
        languages = [own or find_code(name) or of_file for own, (name, _) in zip(named, found, strict=True)]
        yield Row(file, place, image.strip(), captions, name_split(split), languages if any(languages) else [])
