"""Data sets of pictures: their folder and layout. Imports neither torch nor numpy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo.data.pictures.layouts.registered import list_plugin_layouts, recognise
from vsezoo.data.pictures.listing import Find, Listing
from vsezoo.data.pictures.split_file import apply_split_file
from vsezoo.data.pictures.split_lists import apply_split_lists
from vsezoo.data.places import find_layout, list_places
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions
from vsezoo.errors import DataError
from vsezoo.storage.addresses import is_address
from vsezoo.storage.garbage import pause_collection

if TYPE_CHECKING:
    from vsezoo.data.pictures.pairs import PicturePairs

WANTED = (
    "pictures with dataset_NAME.json (Karpathy), the files of Flickr8K, Flickr30K or COCO, captions.csv, captions.tsv, "
    "captions.jsonl, metadata.jsonl or metadata.csv, or another table with columns of images and captions, each with a "
    "text file (a.jpg, a.txt), or shards *.tar"
)
"""The files of vsezoo's own layouts."""


@dataclass(frozen=True)
class PictureSource(DataSource):
    """Pictures and captions in one of several layouts, recognised by the files.

    Attributes:
        layouts: layouts to look for, in order of precedence. None: all registered layouts.
        wanted: the required files, as listed when they are absent.
        folder: the folder of the data set; None: it is looked for by name.
        address: shown in the place of the folder, if this lists files on a server.
    """

    name: str
    summary: str
    origin: str = ""
    splits: tuple[str, ...] = ("train", "dev", "test")
    kinds: tuple[str, ...] = ("picture",)
    layouts: tuple[Find, ...] | None = None
    wanted: str = WANTED
    folder: Path | None = None
    address: str = ""

    def open(self, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PicturePairs:
        """Open one split; see `DataSource.open`, and `vsezoo.data.pictures.pairs.open_pictures` for the options.

        Raises:
            DataError: when the data are absent or damaged, or the encoder does not take pictures.
        """
        listing = self.read(options.root)
        if "picture" not in kinds:
            raise DataError(
                f"the images are pictures; the image encoder takes {' or '.join(map(repr, kinds))}.",
                file=listing.folder,
                remedy="Extract features with `vsezoo features`, or use an image encoder for pictures, such as "
                "--image-encoder timm:mobilenetv2_100.",
            )

        from vsezoo.data.pictures.pairs import open_pictures

        return open_pictures(self.name, split, listing, options)

    def list_splits(self, options: OpenOptions = DEFAULT_OPTIONS) -> list[str]:
        """Return the splits that have pictures."""
        return [name for name, images in self.read(options.root).splits.items() if images]

    def find_folder(self, options: OpenOptions = DEFAULT_OPTIONS) -> Path:
        """Return the folder of the pictures."""
        return self.read(options.root).folder

    def list_files(self, options: OpenOptions = DEFAULT_OPTIONS) -> Iterator[Path]:
        """Yield the list of the pictures and their local files.

        Raises:
            DataError: for an ambiguous file name.
        """
        from vsezoo.data.pictures.find import find_files  # imports numpy

        listing = self.read(options.root)
        yield listing.file
        images = [image for split in listing.splits.values() for image in split]
        found = find_files(listing.folder, [image.name for image in images if image.place is None])
        placed = (image.place.file for image in images if image.place)
        yield from map(Path, dict.fromkeys(file for file in (*found, *placed) if file and not is_address(file)))

    def read(self, root: Path | None = None, *, own_splits: bool = True) -> Listing:
        """Read the listing from the first place with a known layout.

        Args:
            root: as `OpenOptions.root`.
            own_splits: apply `splits.csv`, if the folder has one.

        Raises:
            DataError: when there is none, or it is damaged.
        """
        places = list_places(self.name, root) if self.folder is None else [self.folder]
        read = find_layout(self.name, places, self.inspect, "pictures", self.describe_wanted(), self.origin)
        with pause_collection():
            listing = apply_split_lists(replace(read(), address=self.address))
            return apply_split_file(listing) if own_splits else listing

    def describe_wanted(self) -> str:
        """Return a description of the accepted files, including layouts of plugins if they are looked for."""
        more = list_plugin_layouts() if self.layouts is None else []
        return self.wanted + (f", or a layout of a plugin ({', '.join(more)})" if more else "")

    def inspect(self, folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
        """Return the reader for the layout of a folder with these names; None if it has none."""
        if self.layouts is None:
            return recognise(folder, names)
        found: Iterable[Callable[[], Listing] | None] = (find(folder, names) for find in self.layouts)
        return next(filter(None, found), None)
