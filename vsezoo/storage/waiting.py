"""Progress of long work: types of callbacks, and lines on standard error before there is a progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

INTERVAL = 10.0  # seconds between two lines

Advance = Callable[[int, int], None]
"""Progress callback: `(done, total)`."""

AdvanceNamed = Callable[[str, int, int], None]
"""Progress callback: `(what, done, total)`, such as `("images of train", 64, 6000)`."""

Item = TypeVar("Item")


def report_done(items: Iterable[Item], count: int, what: str) -> Iterator[Item]:
    """Yield the items and print lines such as `3 of 17 shards are indexed` from time to time.

    Args:
        items: in processing order.
        count: number of items.
        what: noun and verb of the line, such as "shards are indexed".
    """
    reported = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - reported > INTERVAL:
            reported = time.monotonic()
            print_line(f"{done:,} of {count:,} {what}")
        yield item


def print_line(line: str) -> None:
    """Write a line to standard error with control characters escaped, because names are untrusted."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    sys.stderr.write(f"{shown}\n")  # in one call, because several threads may print
