"""What a registered data set is. Imports neither torch nor numpy, so that data sets can be listed quickly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vsezoo.interfaces import PairDataset


class DataSource(ABC):
    """A data set that can be opened, registered as an object in the group `vsezoo.datasets`.

    Attributes:
        name: as `--data` and the overrides of recipes name it.
        summary: one line.
        origin: where the data come from and under which terms, as shown when they are absent.
        splits: what `open` takes, in the order train, dev, test, ….
        kinds: the forms of image that it can yield, of `vsezoo.interfaces.KINDS`.
    """

    name: str
    summary: str
    origin: str
    splits: tuple[str, ...]
    kinds: tuple[str, ...]

    @abstractmethod
    def open(
        self, split: str, kinds: Sequence[str], root: Path | None = None, *, full_dev: bool = False
    ) -> PairDataset:
        """Open one split.

        Args:
            split: one of `splits`.
            kinds: the forms of image that the encoder takes, the preferred one first; the data set yields the
                first of them that it has.
            root: the folder that holds the data set's folder (`--data-root`); None: `$VSEZOO_DATA`, then `./data`.
            full_dev: the whole dev split, where the data set otherwise cuts it to its first images as the original
                codes do.

        Raises:
            DataError: when the data are absent, damaged, or come in none of these forms.
        """
