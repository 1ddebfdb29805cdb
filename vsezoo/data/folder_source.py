"""A folder given to `--data`: with features, pictures, or both. Imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo.data.diagnosis import describe_folder
from vsezoo.data.pictures.source import PictureSource
from vsezoo.data.places import find_layout
from vsezoo.data.precomputed.source import PrecomputedSource
from vsezoo.data.precomputed.split_files import PRECOMP
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions

if TYPE_CHECKING:
    from vsezoo.inputs import PairDataset


@dataclass(frozen=True)
class FolderSource(DataSource):
    """The contents of a folder, named after the folder, so that the overrides of recipes for that name apply."""

    folder: Path
    origin = ""
    splits = ("train", "dev", "test")
    kinds = ("vector", "regions", "picture")

    @property
    def name(self) -> str:  # type: ignore[override]
        """The folder's own name; of `f30k/precomp`, and of `f30k` with such a folder in it, `f30k_precomp`."""
        folder = self.folder.absolute()
        if folder.name == PRECOMP and folder.parent.name:
            return f"{folder.parent.name}_{PRECOMP}"
        return f"{folder.name}_{PRECOMP}" if (folder / PRECOMP).is_dir() else folder.name

    @property
    def summary(self) -> str:  # type: ignore[override]
        """The folder as given."""
        return f"the folder {self.folder}"

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
        """Open one split of the features or of the pictures, whichever the encoder prefers; see `DataSource.open`.

        Raises:
            DataError: when there are neither, or only kinds that the encoder does not take.
        """

        def rank(source: DataSource) -> int:
            return min(kinds.index(kind) if kind in kinds else len(kinds) for kind in source.kinds)

        return min(self.list_sources(options), key=rank).open(split, kinds, options)

    def list_splits(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[str]:
        """Return the splits of the features, then those that only the pictures have."""
        return list(
            dict.fromkeys(name for source in self.list_sources(options) for name in source.list_splits(options))
        )

    def find_folder(self, options: OpenOptions = DEFAULT_OPTIONS) -> Path:
        """Return the folder."""
        return self.folder

    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        """Yield the files of the features and those of the pictures."""
        for source in self.list_sources(options):
            yield from source.list_files(options)

    def list_sources(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[PrecomputedSource | PictureSource]:
        """Return the data sets in the folder, features first.

        Raises:
            DataError: when it has neither features nor pictures.
        """
        features = PrecomputedSource(self.name, self.summary, folder=self.folder)
        pictures = PictureSource(self.name, self.summary, folder=self.folder)

        def inspect(folder: Path, names: Sequence[str]) -> list[PrecomputedSource | PictureSource]:
            return [source for source in (features, pictures) if source.inspect(folder, names)]

        wanted = f"{features.wanted}; or {pictures.describe_wanted()}"
        return find_layout(self.name, [self.folder], inspect, "images", wanted, diagnose=describe_folder)
