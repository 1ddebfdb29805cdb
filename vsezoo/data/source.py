"""What a registered data set is. Imports neither torch nor numpy, so that data sets can be listed quickly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.interfaces import PairDataset


BAD_IMAGE_POLICIES = ("error", "skip")


@dataclass(frozen=True)
class OpenOptions:
    """How a split is opened. A data set heeds what concerns it.

    Attributes:
        root: the folder that holds the data set's folder (`--data-root`); None: `$VSEZOO_DATA`, then `./data`.
        full_dev: the whole dev split, where the data set otherwise cuts it to its first images, as originals do.
        use_restval: add the images that Karpathy's split of COCO calls restval to the training split.
        on_bad_image: what to do about a picture that is absent or cannot be read. "error": stop, with its name. "skip":
            leave it out together with its captions; `PairDataset.skipped` says which and why.

    Raises:
        UsageError: for another policy than these.
    """

    root: Path | None = None
    full_dev: bool = False
    use_restval: bool = False
    on_bad_image: str = "error"

    def __post_init__(self) -> None:
        if self.on_bad_image not in BAD_IMAGE_POLICIES:
            raise UsageError(
                f"on_bad_image is {self.on_bad_image!r}; it must be one of {', '.join(BAD_IMAGE_POLICIES)}."
            )


DEFAULT_OPTIONS = OpenOptions()


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
    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
        """Open one split.

        Args:
            split: one of `splits`.
            kinds: the forms of image that the encoder takes, the preferred one first; the data set yields the
                first of them that it has.
            options: where to look, and what to do about what.

        Raises:
            DataError: when the data are absent, damaged, or come in none of these forms.
        """
