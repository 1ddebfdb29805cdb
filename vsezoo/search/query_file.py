"""Many queries at once: a file of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.data.caption_file import read_lines
from vsezoo.errors import DataError
from vsezoo.search.sentence_file import read_sentences

LINES = ".jsonl"
STANDARD_INPUT = "-"
MOST = 1_000_000
"""Most results of a query."""
FIELDS = {"id", "query", "plus", "minus", "k"}


@dataclass(frozen=True)
class Asked:
    """A query of a file.

    Attributes:
        id: its id, or the number of its line.
        query: a sentence, or to search sentences, the name of an image.
        plus: further sentences, whose scores are added.
        minus: sentences whose scores are subtracted.
        k: number of results.
    """

    id: Any
    query: str
    plus: Sequence[str] = ()
    minus: Sequence[str] = ()
    k: int = 5


def read_queries(path: str, k: int) -> list[Asked]:
    """Read the queries of a file.

    Args:
        path: JSON lines, `*.jsonl` or `-` for standard input: a string, or an object with `query` and optionally `id`,
            `plus`, `minus` and `k`. Any other file is one of sentences.
        k: number of results of queries that do not say.

    Raises:
        DataError: for a file that cannot be read, or a line that is not a query.
    """
    if path != STANDARD_INPUT and Path(path).suffix.lower() != LINES:
        return [Asked(sentence.id, sentence.text, k=k) for sentence in read_sentences(Path(path))]
    lines = sys.stdin.read().splitlines() if path == STANDARD_INPUT else read_lines(Path(path))
    asked = [_parse(path, number, line, k) for number, line in enumerate(lines, start=1) if line.strip()]
    if not asked:
        raise DataError("contains no queries.", file=path, remedy='Write one on each line: {"query": "a dog"}')
    return asked


def _parse(path: str, number: int, line: str, k: int) -> Asked:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise _refuse(path, number, "is not JSON") from None
    if isinstance(found, str):
        found = {"query": found}
    if not isinstance(found, Mapping) or not isinstance(found.get("query"), str) or not found["query"].strip():
        raise _refuse(path, number, "has no `query`")
    if unknown := sorted(found.keys() - FIELDS):
        raise _refuse(path, number, f"has the unknown field {unknown[0]!r}")
    asked = Asked(
        found.get("id", number), found["query"], found.get("plus", []), found.get("minus", []), found.get("k", k)
    )
    for name, texts in (("plus", asked.plus), ("minus", asked.minus)):
        if not isinstance(texts, list) or not all(isinstance(text, str) and text.strip() for text in texts):
            raise _refuse(path, number, f"has a {name!r} that is not a list of sentences")
    if type(asked.k) is not int or not 1 <= asked.k <= MOST:
        raise _refuse(path, number, f"has a `k` that is not a number from 1 to {MOST:,}")
    return asked


def _refuse(path: str, number: int, problem: str) -> DataError:
    name = "standard input" if path == STANDARD_INPUT else path
    return DataError(
        f"line {number} {problem}.", file=name, remedy='Write one query on each line: {"query": "a dog", "k": 10}'
    )
