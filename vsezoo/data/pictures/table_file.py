"""Tables of captions: CSV, tab-separated values, or JSON Lines, as rows by the names of their columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vsezoo.data.caption_file import read_lines
from vsezoo.errors import DataError

DELIMITERS = {".csv": ",", ".txt": ",", ".tsv": "\t"}
"""By the ending of the file. JSON Lines, one object on each line, end in `.jsonl`."""


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the rows of a table, each with the number of the line that it ends in, counted from 1.

    Empty lines are none. Names of columns lose white space around them and capitals. A cell of CSV in quotes may have
    line feeds in it.

    Raises:
        DataError: for a file that cannot be read, is not UTF-8, or has a line that is no row of the table.
    """
    return _read_objects(path) if path.suffix.lower() == ".jsonl" else _read_cells(path)


def find_column(path: Path, line: int, columns: Iterable[str], wanted: Iterable[str]) -> str:
    """Return the first of the wanted columns that a row has.

    Raises:
        DataError: naming the columns that there are.
    """
    held, names = list(columns), list(wanted)
    for name in names:
        if name in held:
            return name
    place = f"line {line} " if path.suffix.lower() == ".jsonl" else ""  # elsewhere the first line names them all
    raise DataError(
        f"{place}has no column {', '.join(names[:-1])} or {names[-1]}; its columns are {', '.join(map(repr, held))}.",
        file=path,
        remedy=f"Name the column {names[0]!r}, in JSON in each object, else in the first line of the file.",
    )


def _read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    remedy = 'Write one object on each line, such as {"file_name": "a.jpg", "text": "a dog runs"}.'
    for number, line in enumerate(read_lines(path), start=1):
        if not line:
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"line {number} is not JSON: {error}.", file=path, remedy=remedy) from None
        if not isinstance(value, dict):
            raise DataError(f"line {number} is not a JSON object.", file=path, remedy=remedy)
        yield number, {name.strip().lower(): cell for name, cell in value.items()}


def _read_cells(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    delimiter = DELIMITERS[path.suffix.lower()]
    # The line feed is given back, because a cell in quotes may have one in it. In a table of tabs, quotes are letters.
    lines = (f"{line}\n" for line in read_lines(path))
    quotes = '"' if delimiter == "," else None
    reader = csv.reader(
        lines,
        delimiter=delimiter,
        quotechar=quotes,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,
    )
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        if len(columns) == 1 and (other := next((mark for mark in ";\t|" if mark in columns[0]), "")):
            raise DataError(
                f"its columns are parted by {other!r}, not by {delimiter!r}.",
                file=path,
                remedy="Save it with commas, as .csv, or with tabs, as .tsv.",
            )
        for cells in reader:
            if not cells:
                continue
            if len(cells) > len(columns):
                raise DataError(
                    f"line {reader.line_num} has {len(cells)} cells, the first line has {len(columns)}.",
                    file=path,
                    remedy='Put a caption with a comma in it in quotes: a.jpg,"a dog, running".'
                    if delimiter == ","
                    else "Write no tab into a caption.",
                )
            cells += [""] * (len(columns) - len(cells))
            yield reader.line_num, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        remedy = "Write a quote inside of quotes twice, and end each cell that begins with one."
        raise DataError(f"line {reader.line_num} is no row of a table: {error}.", file=path, remedy=remedy) from None
