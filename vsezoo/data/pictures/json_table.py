"""Caption tables in JSON: an object on each line, a list of objects, or objects by the names of pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.listing import SPLITS, name_split
from vsezoo.data.pictures.table_columns import (
    ID_COLUMNS,
    JSON_LINES,
    SPLIT_COLUMN,
    has_columns,
    has_ids,
    normalise_column,
)
from vsezoo.data.pictures.walk import PICTURES
from vsezoo.errors import DataError
from vsezoo.storage.plain_file import open_plain

LOOKED_AT = 1 << 16  # bytes at the start of a file
FIRST_LINE = 1 << 22  # bytes; Localized Narratives have the traces of a mouse in each
WRAPPERS = ("data", "rows", "items", "examples", "samples", "images")
"""Keys of an object under which the list of objects is, as TextCaps has it."""
LIST = re.compile(rf'"(?:{"|".join(WRAPPERS)})"\s*:\s*\[')
KEY = re.compile(r'\s*\{\s*"(?P<key>(?:[^"\\]|\\.)+)"\s*:\s*(?P<value>["\[{])')
"""The start of an object: its first key, and the first character of the value."""

ID = re.compile(rf'"(?:{"|".join(ID_COLUMNS)})"\s*:\s*"', re.IGNORECASE)
"""An id that is a text; lists of numbers are what programs wrote for the pictures of COCO."""
LINES = re.compile(r"\s*\{.*\}[ \t\r]*\n\s*\{")
"""Two lines with an object each: JSON Lines with the suffix of JSON."""

Row = tuple[str, dict[str, Any]]


def is_json_table(path: Path) -> bool:
    """Return whether the start of a file in JSON or JSON Lines looks like a table of pictures and captions.

    Raises:
        OSError: if it cannot be read.
    """
    is_lines = path.suffix.lower() in JSON_LINES
    with open_plain(path) as stream:
        start = stream.readline(FIRST_LINE) if is_lines else stream.read(LOOKED_AT)
    text = start.decode("utf-8-sig", errors="ignore")  # may end in mid-character
    if is_lines:
        with suppress(ValueError, RecursionError):
            value = json.loads(text)
            columns = [normalise_column(name) for name in value] if isinstance(value, dict) else []
            return has_columns(columns) or has_ids(columns)
        return False
    keys = [key.lower() for key in re.findall(r'"(\w+)"\s*:', text)]
    has_both = has_columns(keys) or (has_ids(keys) and ID.search(text) is not None)
    if text.lstrip().startswith("[") or (LIST.search(text) and '"annotations"' not in text):  # which COCO has
        return has_both
    if LINES.match(text):
        return has_both
    found = KEY.match(text)
    if found and name_split(found["key"]) in SPLITS and found["value"] != '"':
        found = KEY.match(text, found.end() - 1) or found
        return has_both or is_picture(found["key"])
    return found is not None and is_picture(found["key"]) and (found["value"] != "{" or has_columns(["image", *keys]))


def is_picture(name: str) -> bool:
    """Return whether a name ends like that of a picture file."""
    return Path(name.lower()).suffix in PICTURES


def read_objects(path: Path, bad: list[DataError] | None) -> Iterator[Row]:
    """Yield the objects of JSON Lines; see `vsezoo.data.pictures.table_file.read_rows`."""
    remedy = 'Write one object on each line, such as {"file_name": "a.jpg", "text": "a dog runs"}.'
    for number, line in enumerate(read_lines(path), start=1):
        if not line:
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            note(DataError(f"line {number} is not JSON: {error}.", file=path, remedy=remedy), bad)
            continue
        if not isinstance(value, dict):
            note(DataError(f"line {number} is not a JSON object.", file=path, remedy=remedy), bad)
            continue
        yield f"line {number}", _lower(value)


def read_json_table(path: Path, bad: list[DataError] | None) -> Iterator[Row]:
    """Yield the objects of a JSON file; see `vsezoo.data.pictures.table_file.read_rows`.

    It is a list of objects; or an object on each line; or such a list under one of `WRAPPERS`; or an object from the
    name of each picture to its caption, captions or object; or an object from the name of each split to one of these.
    """
    remedy = 'Write a list of objects such as {"image": "a.jpg", "caption": "a dog runs"}.'
    lines = read_lines(path)
    if LINES.match("\n".join(lines[:2])):
        yield from read_objects(path, bad)
        return
    try:
        value = json.loads("\n".join(lines))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}.", file=path, remedy=remedy) from None
    for place, row in _list_rows(value):
        if isinstance(row, dict):
            yield place, _lower(row)
        else:
            note(DataError(f"{place} is not a JSON object.", file=path, remedy=remedy), bad)


def note(error: DataError, bad: list[DataError] | None) -> None:
    """Raise the error of a row, or add it to those of rows that are left out."""
    if bad is None:
        raise error
    bad.append(error)


def _lower(row: dict[str, Any]) -> dict[str, Any]:
    return {normalise_column(name): cell for name, cell in row.items()}


def _list_rows(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each row with its place, such as "entry 3" or "train a.jpg"."""
    if isinstance(value, list):
        yield from ((f"{prefix}entry {number}", row) for number, row in enumerate(value))
        return
    if not isinstance(value, dict):
        yield f"{prefix}entry 0", value
        return
    rows = next((value[name] for name in WRAPPERS if isinstance(value.get(name), list)), None)
    if rows is not None:
        yield from _list_rows(rows, prefix)
    elif value and all(name_split(name) in SPLITS and isinstance(of, list | dict) for name, of in value.items()):
        for name, of in value.items():
            for place, row in _list_rows(of, f"{name} "):
                yield place, {SPLIT_COLUMN: name, **row} if isinstance(row, dict) else row
    elif value and all(map(is_picture, value)):
        for name, of in value.items():
            yield f"{prefix}{name}", {"image": name, **(of if isinstance(of, dict) else {"caption": of})}
    else:
        yield f"{prefix}entry 0", value
