"""The data set: the numbers from 0 to 99 on a display. Imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vsezoo.data.source import DataSource, OpenOptions
from vsezoo.errors import DataError

if TYPE_CHECKING:
    from vsezoo_example.display import NumberPairs


class NumberSource(DataSource):
    """Generated."""

    name = "example-numbers"
    summary = "Two-digit numbers on a display of seven segments, and their names."
    origin = "Generated."
    splits = ("train", "dev", "test")
    kinds = ("regions", "vector")

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions | None = None) -> NumberPairs:
        kind = next((kind for kind in kinds if kind in self.kinds), None)
        if split not in self.splits or kind is None:
            known = f"splits {', '.join(self.splits)}, and images as {', '.join(self.kinds)}"
            raise DataError(f"{self.name} has no {split!r} as {' or '.join(kinds)}.", remedy=f"It has the {known}.")
        from vsezoo_example.display import NumberPairs

        return NumberPairs(self.name, split, kind)


numbers = NumberSource()
