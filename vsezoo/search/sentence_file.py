"""Files of sentences without images: one sentence per line, or a column of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.cells import read_captions
from vsezoo.data.pictures.table_columns import find_captions
from vsezoo.data.pictures.table_file import read_rows
from vsezoo.errors import DataError

TABLES = (".csv", ".tsv", ".jsonl")
"""Suffixes of tables; a file with any other suffix has one sentence per line."""


class Sentence(NamedTuple):
    """A sentence and its id."""

    id: str
    text: str


def read_sentences(path: Path) -> list[Sentence]:
    """Read the sentences of a file, skipping empty ones.

    The ids come from the column `id` of a table; without one, they are the numbers of the lines on which the sentences
    end, counted from 1. If JSON has a list of sentences, `#` and the position in the list, counted from 0, are
    appended.

    Raises:
        DataError: for a file that cannot be read, is not UTF-8, lacks the column, has a value that is not text, or
            contains no sentence.
    """
    if path.suffix.lower() in TABLES:
        found = [sentence for place, row in read_rows(path) for sentence in _read_cell(path, place, row)]
    else:
        found = [Sentence(str(line), text) for line, text in enumerate(read_lines(path), start=1)]
    sentences = [sentence for sentence in found if sentence.text]
    if not sentences:
        raise DataError("contains no sentences.", file=path, remedy="Write one sentence per line.")
    return sentences


def _read_cell(path: Path, place: str, row: Mapping[str, Any]) -> list[Sentence]:
    columns = find_captions(path, place, list(row))
    name = str(place.split()[-1] if row.get("id") in (None, "") else row["id"])
    texts: list[str] = []
    for column in columns:
        try:
            texts += read_captions(row[column])
        except ValueError as error:
            remedy = "Write one sentence per line as text, or several as a list of texts."
            raise DataError(f"{place}: {column!r} is {error!s:.60}.", file=path, remedy=remedy) from None
    is_list = len(texts) > 1 or len(columns) > 1 or isinstance(row[columns[0]], list)
    return [Sentence(f"{name}#{number}" if is_list else name, text) for number, text in enumerate(texts)]
