"""Checks of layouts of pictures: they recognise their own folders only, and list what is in them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from vsezoo.data.pictures.listing import CaptionedImage, Listing, name_split
from vsezoo.data.pictures.source import PictureSource
from vsezoo.testing.datasets import DatasetKit
from vsezoo.testing.kit import Kit, promise, require
from vsezoo.testing.subject import UNREGISTERED, Subject

OTHERS = ("notes.txt", "photo.jpg", "train_caps.txt", "train_ims.npy")
"""Files of folders without any layout of pictures."""


@dataclass
class LayoutKit(Kit):
    """The checks of layouts.

    Attributes:
        folder: an example of the layout, with a picture in each of its splits; None: only other folders are checked.
    """

    folder: Path | str | None = None

    def _find(self, folder: Path) -> Callable[[], Listing] | None:
        found: Callable[[], Listing] | None = self.subject.thing(folder, sorted(path.name for path in folder.iterdir()))
        return found

    def _read(self) -> Listing:
        assert self.folder is not None
        read = self._find(Path(self.folder))
        require(read is not None, f"None for {self.folder}")
        assert read is not None
        listing = read()
        require(isinstance(listing, Listing), f"the reader returns {type(listing).__name__}, not a Listing")
        return listing

    @promise(
        "others",
        "Look for file names that no other layout has, and return None if they are missing.",
    )
    def check_others(self) -> None:
        """It returns None for a folder of another layout and for an empty one."""
        with tempfile.TemporaryDirectory() as name:
            for files in ((), OTHERS):
                for file in files:
                    Path(name, file).touch()
                found = self._find(Path(name))
                require(found is None, f"{found!r} for a folder with {', '.join(files) or 'nothing in it'}")

    @promise(
        "listing",
        "Return a function without arguments that returns a Listing; name splits with name_split.",
        applies=lambda kit: kit.folder is not None,
    )
    def check_listing(self) -> None:
        """Its own folder gives splits by vsezoo's names, of images with captions."""
        listing = self._read()
        require(any(listing.splits.values()), "no split has a picture")
        for split, images in listing.splits.items():
            require(split == name_split(split), f"the split {split!r}, which is {name_split(split)!r} in vsezoo")
            odd = next((image for image in images if not isinstance(image, CaptionedImage)), None)
            require(odd is None, f"{odd!r} in {split}, which is not a CaptionedImage")
            for image in images:
                texts = [image.name, *image.captions]
                sound = all(isinstance(text, str) and text for text in texts) and len(texts) > 1
                require(sound, f"the image {image.name!r} of {split} has the captions {image.captions}")
        require(listing.folder.is_dir(), f"the folder {listing.folder} is not a directory")
        require(listing.file.exists(), f"the file {listing.file} does not exist")

    @promise(
        "repeat",
        "Read the files again at each call: the caller changes the listing that is returned.",
        applies=lambda kit: kit.folder is not None,
    )
    def check_repeat(self) -> None:
        """Each call gives an equal listing made of new objects."""
        first, second = self._read(), self._read()
        require(first == second, "another listing at a second call")
        shared = {id(image) for images in first.splits.values() for image in images}
        same = any(id(image) in shared for images in second.splits.values() for image in images)
        require(not same, "the same CaptionedImage objects at a second call")

    @promise(
        "pairs",
        "Give each image the path of its file relative to the folder, or a Place.",
        applies=lambda kit: kit.folder is not None,
    )
    def check_pairs(self) -> None:
        """Its splits open as a data set of pictures that passes `check_dataset`."""
        splits = tuple(name for name, images in self._read().splits.items() if images)
        folder = Path(str(self.folder))
        source = PictureSource(UNREGISTERED, "", splits=splits, layouts=(self.subject.thing,), folder=folder)
        kit = DatasetKit(Subject("datasets", UNREGISTERED, source), leave_out=("construction",))
        for check in kit.list_checks():
            check.trial()
