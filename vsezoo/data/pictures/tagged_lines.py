"""Lines `a.jpg#0 a dog` or `a#zhm#0 …`, as Flickr8k-CN and COCO-CN have them, without a line of column names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vsezoo.data.languages import CODES
from vsezoo.data.pictures.json_table import note
from vsezoo.errors import DataError

LINE = re.compile(r"(?P<key>(?P<image>[^\s#]+)#(?:(?P<tag>[A-Za-z]+)#)?\d+)\s+(?P<caption>.*\S)")
PICTURE_NAME = re.compile(r".+\.\w{3,4}")


def is_tagged(line: str) -> bool:
    """Return whether a line has this form."""
    return LINE.match(line.strip("\ufeff")) is not None


def read_tagged(path: Path, lines: Sequence[str], bad: list[DataError] | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield rows, see `vsezoo.data.pictures.table_file.read_rows`; images without an ending are JPEG files."""
    for number, line in enumerate(lines, start=1):
        if found := LINE.match(line):
            name = found["image"] if PICTURE_NAME.fullmatch(found["image"]) else f"{found['image']}.jpg"
            language = (found["tag"] or "")[:2].lower()  # zhm: Chinese, translated by a machine
            row = {"image": name, "caption": found["caption"]}
            yield f"line {number}", {**row, "language": language} if language in CODES else row
        elif line.strip():
            problem = f"line {number} is not IMAGE#NUMBER and a caption: {line[:60]!r}."
            note(DataError(problem, file=path, remedy="Fix the line, or download the file again."), bad)
