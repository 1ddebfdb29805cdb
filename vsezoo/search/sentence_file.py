"""Files of sentences that belong to no image: one on each line, or a column of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.layouts.folder import CAPTION_COLUMNS
from vsezoo.data.pictures.table_file import find_column, read_rows
from vsezoo.errors import DataError

TABLES = (".csv", ".tsv", ".jsonl")
"""The endings of tables; a file of any other ending has one sentence on each line."""


class Sentence(NamedTuple):
    """A sentence and what it is called."""

    id: str
    text: str


def read_sentences(path: Path) -> list[Sentence]:
    """Read the sentences of a file; empty ones are left out.

    A table may say in a column `id` what its sentences are called; otherwise it is the number of the line that the
    sentence is in, or ends in, counted from 1. Of several sentences in a list, which JSON may have, each is called so,
    `#` and its number in the list, counted from 0.

    Raises:
        DataError: for a file that cannot be read, is not UTF-8, has no such column, holds what is no text there, or
            holds no sentence.
    """
    if path.suffix.lower() in TABLES:
        found = [sentence for line, row in read_rows(path) for sentence in _read_cell(path, line, row)]
    else:
        found = [Sentence(str(line), text) for line, text in enumerate(read_lines(path), start=1)]
    sentences = [sentence for sentence in found if sentence.text]
    if not sentences:
        raise DataError("holds no sentence.", file=path, remedy="Write one sentence on each line.")
    return sentences


def _read_cell(path: Path, line: int, row: Mapping[str, Any]) -> list[Sentence]:
    column = find_column(path, line, row, CAPTION_COLUMNS)
    name, cell = str(line if row.get("id") in (None, "") else row["id"]), row[column]
    named = {f"{name}#{n}": text for n, text in enumerate(cell)} if isinstance(cell, list) else {name: cell}
    for text in named.values():
        if text is not None and not isinstance(text, str):
            remedy = "Give each sentence a line of its own, as text, or those of a line as a list of texts."
            raise DataError(f"line {line}: {column!r} is no text, but {text!r:.60}.", file=path, remedy=remedy)
    return [Sentence(name, (text or "").strip()) for name, text in named.items()]
