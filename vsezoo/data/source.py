"""What a registered data set is. Imports neither torch nor numpy, so that data sets can be listed quickly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
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
        check_values: look at the values of features now. False leaves that to the caller, as the data doctor wants it.

    Raises:
        UsageError: for another policy than these.
    """

    root: Path | None = None
    full_dev: bool = False
    use_restval: bool = False
    on_bad_image: str = "error"
    check_values: bool = True

    def __post_init__(self) -> None:
        if self.on_bad_image not in BAD_IMAGE_POLICIES:
            raise UsageError(
                f"on_bad_image is {self.on_bad_image!r}; it must be one of {', '.join(BAD_IMAGE_POLICIES)}."
            )


DEFAULT_OPTIONS = OpenOptions()


@dataclass(frozen=True)
class SplitFiles:
    """The files of a split that can be read by themselves, so that a finding names lines and rows; None: no such file.

    Attributes:
        captions: UTF-8 text, caption i on line i + 1.
        features: a `.npy` file with a row for each image, or with several equal rows in succession.
    """

    captions: Path | None = None
    features: Path | None = None


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

    # The methods below describe what is on the disk. The data doctor asks them; each has a default.

    def list_sources(self, options: OpenOptions = DEFAULT_OPTIONS) -> Sequence[DataSource]:
        """Return the data sets that this one is made of, such as the features and the pictures of one folder.

        Raises:
            DataError: when the data are absent.
        """
        return [self]

    def list_splits(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[str]:
        """Return the splits that are there; by default `splits`.

        Raises:
            DataError: when the data are absent.
        """
        return list(self.splits)

    def find_folder(self, options: OpenOptions = DEFAULT_OPTIONS) -> Path | None:
        """Return the folder of the data; None, as by default, if there is none.

        Raises:
            DataError: when the data are absent.
        """
        return None

    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        """Yield every file that is read; the doctor reports the other files of the folder. By default, none.

        Raises:
            DataError: when the data are absent.
        """
        return iter(())

    def locate_split(self, split: str, options: OpenOptions = DEFAULT_OPTIONS) -> SplitFiles:
        """Return the files of a split that can be read by themselves; by default, none.

        Raises:
            DataError: when the data are absent.
        """
        return SplitFiles()
