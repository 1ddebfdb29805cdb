"""Data sets of precomputed features: their folder and layout.

Imports neither torch nor numpy, so that data sets can be listed quickly; the reader is imported when one is opened.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo.data.places import find_layout, list_places
from vsezoo.data.precomputed.feature_record import RECORD, require_finished
from vsezoo.data.precomputed.split_files import SplitPaths, find_splits
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions, SplitFiles
from vsezoo.errors import DataError

if TYPE_CHECKING:
    from vsezoo.data.precomputed.pairs import PrecomputedPairs

AVERAGE = (
    "With the image encoder `precomp`, `--set image_encoder.pool=mean` averages the regions. "
    "Or choose another model, or other features of the data set."
)
SPLIT_ORDER = ("train", "dev", "test", "testall")


@dataclass(frozen=True)
class PrecomputedSource(DataSource):
    """Precomputed features in the layout of VSE++, SCAN and VSRN, or of Kiros, recognised by the files.

    Attributes:
        prefix: prefix of the file names in the data set's own layout, for messages.
        folder: the folder of the data set; None: it is looked for by name.
    """

    name: str
    summary: str
    origin: str = ""
    splits: tuple[str, ...] = ("train", "dev", "test")
    kinds: tuple[str, ...] = ("vector", "regions")
    prefix: str = ""
    folder: Path | None = None

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PrecomputedPairs:
        """Open one split; see `DataSource.open`.

        Args:
            split: one of the splits that have files.
            kinds: kinds of images that the encoder takes.
            options: `root` may also be the folder of the data set itself.

        Raises:
            DataError: when the data are absent, damaged, or available in none of these kinds.
        """
        splits = self.find_splits(options.root)
        if split not in splits:
            folder = next(iter(splits.values())).stem.parent
            require_finished(folder)
            raise DataError(f"has no split {split!r}.", file=folder, remedy=f"Its splits are {', '.join(splits)}.")

        from vsezoo.data.precomputed.pairs import PrecomputedPairs

        files = splits[split]
        pairs = PrecomputedPairs(self.name, split, files, full_dev=options.full_dev, check_values=options.check_values)
        if pairs.kind not in kinds:
            form = "one vector" if pairs.kind == "vector" else "regions"
            raise DataError(
                f"the features are {form} of shape {pairs.image_shape} for each image (kind {pairs.kind!r}); the image "
                f"encoder takes {' or '.join(map(repr, kinds))}.",
                file=files.stem.parent,
                remedy=_advise(pairs.kind, kinds),
            )
        return pairs

    def list_splits(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[str]:
        """Return the splits that have features."""
        return list(self.find_splits(options.root))

    def find_folder(self, options: OpenOptions = DEFAULT_OPTIONS) -> Path:
        """Return the folder of the features."""
        return next(iter(self.find_splits(options.root).values())).stem.parent

    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        """Yield the features, captions and ids of each split, and the record of the extraction."""
        for files in self.find_splits(options.root).values():
            yield from files.list_files()
        yield from filter(Path.is_file, [self.find_folder(options) / RECORD])

    def locate_split(self, split: str, options: OpenOptions = DEFAULT_OPTIONS) -> SplitFiles:
        """Return the caption file and the feature file of a split; neither if there are no features."""
        files = self.find_splits(options.root).get(split)
        if files is None:
            return SplitFiles()
        captions = [*files.captions.values()]  # of several, a line is not that of the caption
        return SplitFiles(captions[0] if len(captions) == 1 and captions[0].suffix == ".txt" else None, files.features)

    def find_splits(self, root: Path | None) -> dict[str, SplitPaths]:
        """Return the files of each split, from the first place with a known layout."""
        places = list_places(self.name, root) if self.folder is None else [self.folder]
        return find_layout(self.name, places, self.inspect, "features", self.wanted, self.origin)

    @property
    def wanted(self) -> str:
        """The files of the data set's own layout."""
        return ", ".join(f"{self.prefix}{split}_{file}" for split in self.splits for file in ("ims.npy", "caps.txt"))

    def inspect(self, folder: Path, names: Sequence[str]) -> dict[str, SplitPaths]:
        """Return the files of each split, see `find_splits`; empty for a folder of no known layout.

        Raises:
            DataError: for a folder that `vsezoo features` has begun, and that has nothing whole yet; or see
                `find_splits`.
        """
        splits = find_splits(folder, names, self.name)
        if not splits and RECORD in names:
            require_finished(folder)
        return dict(sorted(splits.items(), key=lambda item: (_rank(item[0]), item[0])))


def _advise(kind: str, kinds: Sequence[str]) -> str:
    if tuple(kinds) == ("picture",):
        return "Use an image encoder for features, or pass the pictures to --data."
    return AVERAGE if kind == "regions" else "Choose another model, or other features of the data set."


def _rank(split: str) -> int:
    return SPLIT_ORDER.index(split) if split in SPLIT_ORDER else len(SPLIT_ORDER)
