"""`shards.txt`: a list of shards by URL or path, with number ranges."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from vsezoo.errors import DataError
from vsezoo.storage.addresses import is_address, show_address
from vsezoo.storage.plain_file import read_plain

LIST = "shards.txt"
MOST = 1_000_000  # shards in a list: more are a typing error
DIGITS = 18  # of a number in a range
SLIP = "Check the ranges {…}."


def read_list(file: Path) -> list[str]:
    """Return the shards in a list: each line is a URL, or a path relative to the folder of the list.

    `{00..17}` in a line stands for all numbers from 00 to 17; empty lines and lines that start with `#` are ignored.

    Raises:
        DataError: for a list that cannot be read, is empty, too long, or contains a shard twice, or for a line that
            is neither a URL nor a path.
    """
    try:
        lines = read_plain(file).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}.", file=file, remedy="Save it as UTF-8 text.") from None
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    names = list(islice((name for line in named for name in _expand(line, file)), MOST + 1))
    shards = [name if is_address(name) else str(file.parent / name) for name in names]
    if not shards:
        remedy = "Write the URL of a shard on each line, such as https://example.org/mine-train-{000..017}.tar"
        raise DataError("names no shard.", file=file, remedy=remedy)
    _require_few(len(shards), file)
    if twice := next((shard for shard, count in Counter(shards).items() if count > 1), None):
        raise DataError(f"names {show_address(twice)} twice.", file=file, remedy="Remove one of the two.")
    return shards


def _expand(line: str, file: Path) -> Iterator[str]:
    """Yield the names that a line expands to; the last number counts up first."""
    words = re.split(r"\{(\d+)\.\.(\d+)\}", line)
    parts = []
    for text, first, last in zip(words[::3], words[1::3], words[2::3], strict=False):
        if max(len(first), len(last)) > DIGITS:
            raise DataError(f"has a number of more than {DIGITS} digits.", file=file, remedy=SLIP)
        if int(first) > int(last):
            problem = f"has '{{{first}..{last}}}', in which the first number is larger."
            raise DataError(problem, file=file, remedy="Swap them.")
        parts.append((text, range(int(first), int(last) + 1), len(first)))
    count = math.prod(len(numbers) for _, numbers, _ in parts)
    _require_few(count, file)
    for index in range(count):
        name, rest = words[-1], index
        for text, numbers, width in reversed(parts):
            rest, place = divmod(rest, len(numbers))
            name = f"{text}{numbers[place]:0{width}}{name}"
        _require_name(name, file)
        yield name


def _require_few(count: int, file: Path) -> None:
    if count > MOST:
        raise DataError(f"names more than {MOST:,} shards.", file=file, remedy=SLIP)


def _require_name(name: str, file: Path) -> None:
    try:
        if re.search(r"[\x00-\x1f\x7f-\x9f]", name):
            raise ValueError("it has control characters")
        urlsplit(show_address(name))
    except ValueError as error:
        problem = f"names {show_address(name)!r}, which is neither a URL nor a path: {error}."
        raise DataError(problem, file=file, remedy="Correct the line.") from None
