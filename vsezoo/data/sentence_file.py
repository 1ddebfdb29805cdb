"""Files of sentences that belong to no image: one on each line, or a column of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.caption_file import read_lines
from vsezoo.data.table_file import find_column, read_rows
from vsezoo.errors import DataError

TABLES = (".csv", ".tsv", ".jsonl")
"""The endings of tables; a file of any other ending has one sentence on each line."""
COLUMNS = ("caption", "text", "sentence")
"""What the column of the sentences may be called; the first that is there counts."""


class Sentence(NamedTuple):
    """A sentence and what it is called."""

    id: str
    text: str


def read_sentences(path: Path) -> list[Sentence]:
    """Read the sentences of a file; empty ones are left out.

    A table may say in a column `id` what its sentences are called; otherwise it is the number of the line that the
    sentence is in, or ends in, counted from 1.

    Raises:
        DataError: for a file that cannot be read, is not UTF-8, has no such column, holds what is no text there, or
            holds no sentence.
    """
    if path.suffix.lower() in TABLES:
        found = [
            Sentence(str(line if row.get("id") in (None, "") else row["id"]), _read_text(path, line, row))
            for line, row in read_rows(path)
        ]
    else:
        found = [Sentence(str(line), text) for line, text in enumerate(read_lines(path), start=1)]
    sentences = [sentence for sentence in found if sentence.text]
    if not sentences:
        raise DataError("holds no sentence.", file=path, remedy="Write one sentence on each line.")
    return sentences


def _read_text(path: Path, line: int, row: Mapping[str, Any]) -> str:
    column = find_column(path, line, row, COLUMNS)
    text = row[column]
    if text is None:
        return ""
    if not isinstance(text, str):
        remedy = "Give each sentence a line of its own, as text."
        raise DataError(f"line {line}: {column!r} is no text, but {text!r:.60}.", file=path, remedy=remedy)
    return text.strip()
