"""Files of sentences that belong to no image: one on each line, or a column of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.cells import read_captions
from vsezoo.data.pictures.table_file import find_captions, read_rows
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
        found = [sentence for place, row in read_rows(path) for sentence in _read_cell(path, place, row)]
    else:
        found = [Sentence(str(line), text) for line, text in enumerate(read_lines(path), start=1)]
    sentences = [sentence for sentence in found if sentence.text]
    if not sentences:
        raise DataError("holds no sentence.", file=path, remedy="Write one sentence on each line.")
    return sentences


def _read_cell(path: Path, place: str, row: Mapping[str, Any]) -> list[Sentence]:
    columns = find_captions(path, place, list(row))
    name = str(place.split()[-1] if row.get("id") in (None, "") else row["id"])
    texts: list[str] = []
    for column in columns:
        try:
            texts += read_captions(row[column])
        except ValueError as error:
            remedy = "Give each sentence a line of its own, as text, or those of a line as a list of texts."
            raise DataError(f"{place}: {column!r} is {error!s:.60}.", file=path, remedy=remedy) from None
    is_list = len(texts) > 1 or len(columns) > 1 or isinstance(row[columns[0]], list)
    return [Sentence(f"{name}#{number}" if is_list else name, text) for number, text in enumerate(texts)]
