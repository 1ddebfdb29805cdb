"""The interface of registered data sets. Imports neither torch nor numpy, so that data sets can be listed quickly."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.inputs import PairDataset


BAD_IMAGE_POLICIES = ("error", "skip")


@dataclass(frozen=True)
class OpenOptions:
    """Options for opening a split. A data set uses those that apply to it.

    Attributes:
        root: the folder that contains the data set's folder (`--data-root`); None: `$VSEZOO_DATA`, then `./data`.
        full_dev: use the whole dev split if the data set cuts it to its first images by default, as original codes do.
        use_restval: add the images that Karpathy's split of COCO calls restval to the training split.
        on_bad_image: how to handle a picture that is absent or cannot be read. "error": stop and name it. "skip": leave
            it out together with its captions; `PairDataset.skipped` records it with the reason.
        check_values: check the values of features now. False leaves that to the caller, such as the data doctor.

    Raises:
        UsageError: for another value of `on_bad_image`.
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
    """The files of a split that can be read directly, so that findings name lines and rows; None: no such file.

    Attributes:
        captions: UTF-8 text, caption i on line i + 1.
        features: a `.npy` file with one row per image, or with several equal consecutive rows.
    """

    captions: Path | None = None
    features: Path | None = None


class DataSource(ABC):
    """A data set that can be opened, registered as an object in the group `vsezoo.datasets`.

    Attributes:
        name: name for `--data` and for the overrides of recipes.
        summary: one line.
        origin: source and terms of the data, shown when they are absent.
        splits: names for `open`, in the order train, dev, test, ….
        kinds: kinds of images that it provides, of `vsezoo.interfaces.KINDS`.
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
            kinds: the kinds of images that the encoder takes, the preferred one first; the first available one is used.
            options: where to look for the data and how to read them.

        Raises:
            DataError: when the data are absent, damaged, or available in none of these kinds.
        """

    # The methods below describe the files, for the data doctor; each has a default.

    def list_sources(self, options: OpenOptions = DEFAULT_OPTIONS) -> Sequence[DataSource]:
        """Return the data sets that this one consists of, such as the features and the pictures of one folder.

        Raises:
            DataError: when the data are absent.
        """
        return [self]

    def list_splits(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[str]:
        """Return the available splits; by default `splits`.

        Raises:
            DataError: when the data are absent.
        """
        return list(self.splits)

    def find_folder(self, options: OpenOptions = DEFAULT_OPTIONS) -> Path | None:
        """Return the folder of the data; None, the default, if there is none.

        Raises:
            DataError: when the data are absent.
        """
        return None

    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        """Yield every file that is read; the doctor reports other files in the folder. By default, none.

        Raises:
            DataError: when the data are absent.
        """
        return iter(())

    def locate_split(self, split: str, options: OpenOptions = DEFAULT_OPTIONS) -> SplitFiles:
        """Return the files of a split that can be read directly; by default, none.

        Raises:
            DataError: when the data are absent.
        """
        return SplitFiles()
