"""Files of sentences that belong to no image: one on each line, or a column of a table."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

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
        DataError: for a file that cannot be read, is not UTF-8, has no such column, or holds no sentence.
    """
    if path.suffix.lower() in TABLES:
        found = [
            Sentence(str(row.get("id") or line), str(row[find_column(path, line, row, COLUMNS)]).strip())
            for line, row in read_rows(path)
        ]
    else:
        found = [Sentence(str(line), text) for line, text in enumerate(read_lines(path), start=1)]
    sentences = [sentence for sentence in found if sentence.text]
    if not sentences:
        raise DataError("holds no sentence.", file=path, remedy="Write one sentence on each line.")
    return sentences
