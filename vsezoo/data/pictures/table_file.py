"""Caption tables: CSV with any separator, tab-separated values, or JSON Lines, read as rows by column."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsezoo.data.caption_file import UTF_16, decode_text, read_lines
from vsezoo.data.languages import CODES, find_code
from vsezoo.errors import DataError

IMAGE_COLUMNS = (
    "image",
    "file_name",
    "filename",
    "file",
    "filepath",
    "file_path",
    "image_path",
    "image_file",
    "image_name",
    "img_path",
    "path",
    "name",
)
CAPTION_COLUMNS = (
    "caption",
    "captions",
    "text",
    "texts",
    "sentence",
    "sentences",
    "title",
    "raw",
    "description",
    "comment",
    "alt_text",
    "caption_str",
    "utterance",
)
SPLIT_COLUMN = "split"
SPLIT_SYNONYMS = ("splits", "set", "subset", "partition", "phase", "fold")
"""Columns used as `split` if they contain only names of splits."""

TAGGED = re.compile(r"(?P<image>[^\s#]+)#(?:(?P<tag>[A-Za-z]+)#)?\d+\s+(?P<caption>.*\S)")
"""A line `a.jpg#0 a dog` or `a#zhm#0 …`: of Flickr8k-CN and COCO-CN, whose files have no line of column names."""
PICTURE_NAME = re.compile(r".+\.\w{3,4}")

NO_CAPTION = f"captions ({', '.join(CAPTION_COLUMNS[:5])}, …, or caption_0, caption_1, …)"
LINES = (".txt", ".token")  # suffixes of files that are tables only if their lines are tagged
SEPARATORS = ",;\t|"
HEADER_BYTES = 1 << 20  # maximum length of the first line


def read_rows(path: Path, bad: list[DataError] | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a table, each with its place: "line 3", the line on which it ends, counted from 1.

    Empty rows are skipped. Column names are stripped and lowercased. A quoted CSV cell may contain line feeds. The
    separator is found from the first line: the one that gives a column of pictures and one of captions, or the one that
    Excel writes there (`sep=;`).

    Args:
        path: the table.
        bad: gets the errors of malformed lines, which are left out; None: they are raised.

    Raises:
        DataError: for a file that cannot be read, is not UTF-8 or UTF-16, or has a malformed line.
    """
    read = {".jsonl": _read_objects, ".json": _read_list}.get(path.suffix.lower(), _read_cells)
    return read(path, bad)


def note(error: DataError, bad: list[DataError] | None) -> None:
    """Raise the error of a row, or add it to those of rows that are left out."""
    if bad is None:
        raise error
    bad.append(error)


def find_columns(path: Path, place: str, columns: Sequence[str]) -> tuple[str, list[str]]:
    """Return the picture column and the caption columns: `caption`, or `caption_0`, `caption_1`, or `caption_en`, ….

    Raises:
        DataError: for missing columns, listing the existing ones.
    """
    image = next((name for name in IMAGE_COLUMNS if name in columns), None)
    captions = _find_captions(columns)
    if image and captions:
        return image, captions
    absent = {
        "image": "" if image else f"image ({', '.join(IMAGE_COLUMNS[:5])}, …)",
        "caption": "" if captions else NO_CAPTION,
    }
    raise _describe_absent(path, place, columns, absent)


def find_captions(path: Path, place: str, columns: Sequence[str]) -> list[str]:
    """Return only the caption columns, see `find_columns`.

    Raises:
        DataError: for missing columns, listing the existing ones.
    """
    if captions := _find_captions(columns):
        return captions
    raise _describe_absent(path, place, columns, {"caption": NO_CAPTION})


def _describe_absent(path: Path, place: str, columns: Sequence[str], absent: dict[str, str]) -> DataError:
    wanted = {name: text for name, text in absent.items() if text}
    is_json = path.suffix.lower() in (".jsonl", ".json")  # in other tables, the first line names the columns
    return DataError(
        f"{f'{place} ' if is_json else ''}has no column for {' and none for '.join(wanted.values())}; its columns are "
        f"{', '.join(map(repr, columns))}.",
        file=path,
        remedy=f"Call {'them' if len(wanted) > 1 else 'it'} {' and '.join(map(repr, wanted))} "
        f"in {'each object' if is_json else 'the first line of the file'}.",
    )


def is_table(path: Path) -> bool:
    """Return whether a file, whatever its name, starts like a table of pictures and captions."""
    try:
        with path.open("rb") as stream:
            if path.suffix.lower() == ".json":
                text = stream.read(1 << 16).decode("utf-8-sig", errors="ignore")  # may end in mid-character
                keys = [key.lower() for key in re.findall(r'"(\w+)"\s*:', text)]
                return text.lstrip().startswith("[") and _has_columns(keys)
            start = stream.readline(HEADER_BYTES) + stream.readline(HEADER_BYTES)
        text = decode_text(start[: len(start) // 2 * 2] if start.startswith(UTF_16) else start)
    except (OSError, UnicodeDecodeError):
        return False
    if path.suffix.lower() == ".jsonl":
        with suppress(ValueError, RecursionError):
            value = json.loads(text.partition("\n")[0])
            return isinstance(value, dict) and _has_columns([name.strip().lower() for name in value])
        return False
    first, _, second = text.partition("\n")
    if TAGGED.match(first.strip("\ufeff")) or path.suffix.lower() in LINES:
        return TAGGED.match(first.strip("\ufeff")) is not None
    header = second if _find_separator_line(first) else first
    return any(_has_columns(_cut(header, mark)) for mark in SEPARATORS)


def _find_captions(columns: Sequence[str]) -> list[str]:
    for stem in CAPTION_COLUMNS:
        numbered = re.compile(rf"{stem}[ _-]?\d+")
        found = [
            name
            for name in columns
            if name == stem or numbered.fullmatch(name) or (name.startswith(stem) and find_code(name[len(stem) :]))
        ]
        if found:
            return found
    return []


def _has_columns(columns: Sequence[str]) -> bool:
    return any(name in columns for name in IMAGE_COLUMNS) and bool(_find_captions(columns))


def _cut(header: str, separator: str) -> list[str]:
    return [name.strip().strip('"').strip().lower() for name in header.strip("\ufeff\r\n").split(separator)]


def _find_separator_line(line: str) -> str:
    """Return the separator in a first line `sep=;`, as written by Excel; empty for any other line."""
    found = re.fullmatch(r'"?sep=(.)"?', line.strip("\ufeff\r\n ") or " ")
    return found[1] if found else ""


def _read_objects(path: Path, bad: list[DataError] | None) -> Iterator[tuple[str, dict[str, Any]]]:
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
        yield f"line {number}", {name.strip().lower(): cell for name, cell in value.items()}


def _read_list(path: Path, bad: list[DataError] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    remedy = 'Write a list of objects such as {"image": "a.jpg", "caption": "a dog runs"}.'
    try:
        value = json.loads("\n".join(read_lines(path)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}.", file=path, remedy=remedy) from None
    for number, entry in enumerate(value if isinstance(value, list) else [value]):
        if not isinstance(entry, dict):
            note(DataError(f"entry {number} is not a JSON object.", file=path, remedy=remedy), bad)
            continue
        yield f"entry {number}", {name.strip().lower(): cell for name, cell in entry.items()}


def _read_cells(path: Path, bad: list[DataError] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    texts = read_lines(path, keep_tabs=True)
    if texts and TAGGED.match(texts[0]):
        yield from _read_tagged(path, texts, bad)
        return
    separator = _find_separator_line(texts[0]) if texts else ""
    skipped = 1 if separator else 0
    header = texts[skipped] if len(texts) > skipped else ""
    default = "\t" if path.suffix.lower() == ".tsv" else ","
    separator = separator or next(
        (mark for mark in (default, *SEPARATORS) if _has_columns(_cut(header, mark))),
        next((mark for mark in (default, *SEPARATORS) if mark in header), default),
    )
    # Line feeds are kept, because a quoted cell may contain one. In tab-separated values, quotes are ordinary.
    lines = (f"{line}\n" for line in texts[skipped:])
    quotes = None if separator == "\t" else '"'
    reader = csv.reader(
        lines,
        delimiter=separator,
        quotechar=quotes,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        for cells in reader:
            if not any(cells):
                continue
            line = reader.line_num + skipped
            if len(cells) > len(columns):
                problem = f"line {line} has {len(cells)} cells, the first line has {len(columns)}."
                remedy = f'Put a caption with a {separator!r} in it in quotes: a.jpg,"a dog, running".'
                note(DataError(problem, file=path, remedy=remedy if quotes else "Remove tabs from captions."), bad)
                continue
            cells += [""] * (len(columns) - len(cells))
            if quotes is None:
                cells = [_unquote(cell) for cell in cells]
            yield f"line {line}", dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        remedy = "Double each quote inside a quoted cell, and close each quoted cell."
        problem = f"line {reader.line_num + skipped} is not a table row: {error}."
        raise DataError(problem, file=path, remedy=remedy) from None


def _read_tagged(path: Path, lines: list[str], bad: list[DataError] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield rows of lines `IMAGE#NUMBER CAPTION`; images without an ending are JPEG files."""
    for number, line in enumerate(lines, start=1):
        if found := TAGGED.match(line):
            name = found["image"] if PICTURE_NAME.fullmatch(found["image"]) else f"{found['image']}.jpg"
            language = (found["tag"] or "")[:2].lower()  # zhm: Chinese, translated by a machine
            row = {"image": name, "caption": found["caption"]}
            yield f"line {number}", {**row, "language": language} if language in CODES else row
        elif line.strip():
            problem = f"line {number} is not IMAGE#NUMBER and a caption: {line[:60]!r}."
            note(DataError(problem, file=path, remedy="Fix the line, or download the file again."), bad)


def _unquote(cell: str) -> str:
    """Return a cell as it was before pandas or Excel quoted it, which they do if it contains quotes."""
    is_quoted = '""' in cell[1:-1] and re.fullmatch(r'"(?:[^"]|"")*"', cell)
    return cell[1:-1].replace('""', '"') if is_quoted else cell
