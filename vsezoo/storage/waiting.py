"""Progress of long work: the callbacks that functions take, and lines on standard error where there is no bar yet."""

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
    """Yield the items; now and then say `3 of the 17 shards are looked through`.

    Args:
        items: in the order in which they are done.
        count: of the items.
        what: what they are, and what is done to them, such as "shards are looked through".
    """
    reported = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - reported > INTERVAL:
            reported = time.monotonic()
            tell(f"{done:,} of the {count:,} {what}")
        yield item


def tell(line: str) -> None:
    """Write a line to standard error; what a terminal would obey is shown, not sent, since strangers name things."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in line)
    sys.stderr.write(f"{shown}\n")  # at once: several threads may wait
