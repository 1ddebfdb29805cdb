"""Caption tables: CSV with any separator, tab-separated values, or JSON Lines, read as rows by column."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vsezoo.data.caption_file import UTF_16, decode_text, read_lines
from vsezoo.data.pictures.json_table import is_json_table, is_picture, note, read_json_table, read_objects
from vsezoo.data.pictures.table_columns import JSON, JSON_LINES, has_columns, has_ids, normalise_column
from vsezoo.data.pictures.tagged_lines import is_tagged, read_tagged
from vsezoo.data.pictures.url_list import ADDRESS
from vsezoo.errors import DataError
from vsezoo.storage.plain_file import open_plain

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
    read = {".json": read_json_table, **dict.fromkeys(JSON_LINES, read_objects)}.get(path.suffix.lower(), _read_cells)
    return read(path, bad)


def is_table(path: Path) -> bool:
    """Return whether a file, whatever its name, starts like a table of pictures and captions."""
    try:
        if path.suffix.lower() in JSON:
            return is_json_table(path)
        with open_plain(path) as stream:
            start = stream.readline(HEADER_BYTES) + stream.readline(HEADER_BYTES)
        text = decode_text(start[: len(start) // 2 * 2] if start.startswith(UTF_16) else start)
    except (OSError, UnicodeDecodeError):
        return False
    first, _, second = (text if "\n" in text else text.replace("\r", "\n")).partition("\n")
    if is_tagged(first) or path.suffix.lower() in LINES:
        return is_tagged(first)
    header = second if _find_separator_line(first) else first
    cuts = {mark: _cut(header, mark) for mark in SEPARATORS}
    return any(has_columns(cut) or has_ids(cut) or _name_plain(header, mark) for mark, cut in cuts.items())


def _cut(header: str, separator: str) -> list[str]:
    return [normalise_column(name.strip().strip('"')) for name in header.strip("\ufeff\r\n").split(separator)]


def _name_plain(line: str, separator: str) -> list[str]:
    """Return the columns of a first line without their names: that of a picture and that of a caption, in either order.

    There are none for any other line.
    """
    try:
        first, second = next(csv.reader([line.strip("\ufeff\r\n")], delimiter=separator))
    except (csv.Error, ValueError, StopIteration):  # or another number of cells
        return []
    if is_picture(second) and not any(mark in second for mark in SEPARATORS):  # ` running;a.jpg`, cut at the comma
        first, second, columns = second, first, ["caption", "image"]
    else:
        columns = ["image", "caption"]
    is_plain = is_picture(first) and not ADDRESS.match(first) and not is_picture(second) and bool(second)
    return columns if is_plain else []


def _find_separator_line(line: str) -> str:
    """Return the separator in a first line `sep=;`, as written by Excel; empty for any other line."""
    found = re.fullmatch(r'"?sep=(.)"?', line.strip("\ufeff\r\n ") or " ")
    return found[1] if found else ""


def _read_cells(path: Path, bad: list[DataError] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    texts = read_lines(path, keep_tabs=True)
    if texts and is_tagged(texts[0]):
        yield from read_tagged(path, texts, bad)
        return
    separator = _find_separator_line(texts[0]) if texts else ""
    skipped = 1 if separator else 0
    header = texts[skipped] if len(texts) > skipped else ""
    default = "\t" if path.suffix.lower() == ".tsv" else ","
    separator = separator or next(
        (mark for mark in (default, *SEPARATORS) if has_columns(_cut(header, mark)) or _name_plain(header, mark)),
        next((mark for mark in (default, *SEPARATORS) if mark in header), default),
    )
    plain = _name_plain(header, separator)
    lines = [*([separator.join(plain)] if plain else []), *texts[skipped:]]
    skipped -= bool(plain)
    # In tab-separated values, quotes are ordinary, unless all cells are right only if they are not, as Excel writes it.
    quotes = None if separator == "\t" and not _is_quoted(lines) else '"'
    reader = _make_reader(lines, separator, quotes)
    try:
        columns = _number_equal([normalise_column(name) for name in next(reader, [])])
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


def _number_equal(columns: Sequence[str]) -> list[str]:
    """Return names of columns in which each later one of a name has a number: `caption`, `caption_2`."""
    counts = Counter[str]()
    numbered = []
    for name in columns:
        counts[name] += 1
        numbered.append(f"{name}_{counts[name]}" if name and counts[name] > 1 else name)
    return numbered


def _make_reader(lines: Sequence[str], separator: str, quotes: str | None) -> Any:
    """Return a reader of rows. Line feeds are kept, because a quoted cell may contain one."""
    whole = (f"{line}\n" for line in lines)
    if quotes is None:
        return csv.reader(whole, delimiter=separator, quoting=csv.QUOTE_NONE, strict=True)
    return csv.reader(whole, delimiter=separator, quotechar=quotes, strict=True)


def _is_quoted(lines: Sequence[str]) -> bool:
    """Return whether tab-separated rows have as many cells as the first line only if quoted cells may contain tabs."""
    tabs = lines[0].count("\t") if lines else 0
    if all(line.count("\t") == tabs for line in lines if line):
        return False
    try:
        return all(len(cells) == tabs + 1 for cells in _make_reader(lines, "\t", '"') if cells)
    except csv.Error:
        return False


def _unquote(cell: str) -> str:
    """Return a cell as it was before pandas or Excel quoted it, which they do if it contains quotes."""
    is_quoted = '""' in cell[1:-1] and re.fullmatch(r'"(?:[^"]|"")*"', cell)
    return cell[1:-1].replace('""', '"') if is_quoted else cell
