"""Pairs of pictures and captions, as opened by `vsezoo.data.pictures.source`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vsezoo.data.pictures.account import take_account
from vsezoo.data.pictures.check import find_unreadable
from vsezoo.data.pictures.columns import ImageColumns
from vsezoo.data.pictures.find import find_files, find_similar
from vsezoo.data.pictures.listing import CaptionedImage, Listing
from vsezoo.data.pictures.picture_file import SKIP, Place
from vsezoo.data.pictures.url_list import ADDRESS, advise_download, lists_addresses
from vsezoo.data.pictures.walk import list_archives, walk_pictures
from vsezoo.data.precomputed.pairs import DEV_IMAGES
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, list_names
from vsezoo.inputs import PairDataset

NAMED = 3  # most pictures that a message lists
LISTED = 100  # arrays of which some are named; images whose captions are looked at
NUMBERS = re.compile(r"[\d\s.,:;/+-]*\d[\d\s.,:;/+-]*")
BASE64 = re.compile(r"data:image/|/9j/|iVBORw0KGgo|UklGR")
"""What pictures begin with that are written as text."""
LONGEST = 100  # characters of a name in a message
SKIP_FLAG = "--on-bad-image skip"
ABSENT, WITHOUT_CAPTION = "is absent", "has no caption"


class PicturePairs(PairDataset):
    """One split of pictures, each with one or more captions. `image_shape` is empty: pictures may have any size.

    Args:
        name: name of the data set.
        split: name of the split.
        images: the pictures, with their places.
        skipped: reasons by the ids of skipped pictures.
        read_all: reads the captions of the whole split, if this is its first part.
        listing: listing of the whole data set, for the account.
    """

    kind = "picture"
    image_shape = ()

    def __init__(
        self,
        name: str,
        split: str,
        images: Sequence[CaptionedImage],
        skipped: Mapping[str, str] | None = None,
        read_all: Callable[[], Sequence[str]] | None = None,
        listing: Listing | None = None,
    ) -> None:
        self.image_ids: Sequence[str]
        self.captions: Sequence[str]
        self.places: Sequence[Place]
        self.name, self.split, self.skipped = name, split, dict(skipped or {})
        if isinstance(images, ImageColumns):
            self.image_ids, self.captions = images.names, images.captions
            self.image_of = np.repeat(np.arange(len(images)), images.counts)
            self.places, self.languages = images.places or (), images.languages or ()
        else:
            self.image_ids = [image.name for image in images]
            self.captions = [caption for image in images for caption in image.captions]
            self.image_of = np.repeat(np.arange(len(images)), [len(image.captions) for image in images])
            self.places = [image.place for image in images if image.place]
            if any(image.languages for image in images):
                self.languages = [language for one in images for language in one.languages or [""] * len(one.captions)]
        self._read_all, self._listing = read_all, listing

    @functools.cached_property
    def account(self) -> Mapping[str, Any]:
        """The account of the data set, see `vsezoo.data.pictures.account.take_account`."""
        return take_account(self._listing) if self._listing else {}

    @property
    def all_captions(self) -> Sequence[str]:
        """The captions of the whole split, including those cut from the dev split.

        Raises:
            DataError: see `open_pictures`.
        """
        return self.captions if self._read_all is None else self._read_all()

    def images(self, indices: Sequence[int] | np.ndarray[Any, Any]) -> list[Image.Image]:
        """Decode and return RGB pictures; see `vsezoo.data.pictures.picture_file.read_picture`.

        Raises:
            IndexError: for an index outside the split.
            DataError: for a picture that cannot be read.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        if chosen.size and not 0 <= chosen.min() <= chosen.max() < len(self.places):
            raise IndexError(f"image {chosen.min()} to {chosen.max()} of {len(self.places)}")
        return [self.places[index].read() for index in chosen]


def open_pictures(name: str, split: str, listing: Listing, options: OpenOptions) -> PicturePairs:
    """Open one split.

    Args:
        name: name of the data set.
        split: name of the split.
        listing: listing of all splits.
        options: `dev` is cut to its first 1,000 images unless `full_dev` is set; `use_restval` adds those images to
            `train`. With `on_bad_image="error"`, all files must exist, and pictures that cannot be decoded are
            reported when they are read. "skip" decodes all pictures now, and skips unusable pictures and empty
            captions, so that the split is the same each time it is opened.

    Raises:
        DataError: for a split that is missing or has no usable picture, and for missing pictures.
    """
    if listing.bad and options.on_bad_image == "error":
        raise _describe_bad(listing)
    images = _pick(listing, split)
    if split == "train" and options.use_restval:
        images = [*images, *_pick(listing, "restval")]
    read_all = None
    if split == "dev" and not options.full_dev and len(images) > DEV_IMAGES:
        images = images[:DEV_IMAGES]
        read_all = functools.partial(_read_captions, name, split, listing, replace(options, full_dev=True))
    if isinstance(images, ImageColumns) and options.on_bad_image == "error":
        empty = {images.names[index]: WITHOUT_CAPTION for index in images.find_uncaptioned()}
        _require_none(empty, images, split, listing)
        _require_texts(images[:LISTED], split, listing)
        return PicturePairs(name, split, images, {}, read_all, listing)
    images = list(images)
    _require_texts(images, split, listing)
    _find_places(listing, images)
    has_captions = all if options.on_bad_image == "error" else any
    bad = {image.name: WITHOUT_CAPTION for image in images if not image.captions or not has_captions(image.captions)}
    bad |= {image.name: ABSENT for image in images if image.place is None}
    if options.on_bad_image == "error":
        _require_none(bad, images, split, listing)
    else:
        images = [one.without_empty() for one in images]
        bad |= find_unreadable({i.name: i.place for i in images if i.place and i.name not in bad}, f"{name} {split}")
    good = [image for image in images if image.name not in bad]
    if not good:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(bad.items())[:NAMED])
        hint, remedy = _advise([name for name, reason in bad.items() if reason == ABSENT], listing)
        problem = f"has no usable picture in the split {split} ({reasons}).{hint}"
        remedy = remedy or "Look at them with `vsezoo data check`, which names what is wrong with each."
        raise DataError(problem, file=listing.file, remedy=remedy)
    skipped = {image.name: bad[image.name] for image in images if image.name in bad}
    return PicturePairs(name, split, good, skipped, read_all, listing)


def _describe_bad(listing: Listing) -> DataError:
    """Return the error of the first bad row, which tells where the others are."""
    first, *others = listing.bad
    problem = first.problem
    if others:
        named = list_names([one.problem.rstrip(".") for one in others], NAMED)
        are = "more rows are" if len(others) > 1 else "more row is"
        problem = f"{problem.rstrip('.')}; {len(others):,} {are} bad: {named}."
    return DataError(problem, file=first.file, remedy=f"{first.remedy.rstrip('.')}, or skip them with {SKIP_FLAG}.")


def _read_captions(name: str, split: str, listing: Listing, options: OpenOptions) -> Sequence[str]:
    return open_pictures(name, split, listing, options).captions


def _pick(listing: Listing, split: str) -> Sequence[CaptionedImage]:
    if not listing.splits.get(split):
        known = ", ".join(name for name, images in listing.splits.items() if images) or "none"
        own = f"`vsezoo data split {listing.folder}{' --keep' if listing.splits.get('train') else ''}`"
        advice = listing.remedy or f"Write the others into the data, or draw them with {own}."
        remedy = f"Its splits are {known}. {advice}"
        raise DataError(f"has no split {split!r}.", file=listing.file, remedy=remedy)
    return listing.splits[split]


def _find_places(listing: Listing, images: Sequence[CaptionedImage]) -> None:
    """Set the place of each picture whose file exists."""
    wanted = [image for image in images if image.place is None]
    for image, file in zip(wanted, find_files(listing.folder, [image.name for image in wanted]), strict=True):
        image.place = Place(file) if file else None


def _require_texts(images: Sequence[CaptionedImage], split: str, listing: Listing) -> None:
    """Check that the captions of the first images are not all numbers: of classes, or of boxes as YOLO writes them.

    Raises:
        DataError: for numbers.
    """
    captions = [caption for image in islice(images, LISTED) for caption in image.captions if caption]
    if captions and all(map(NUMBERS.fullmatch, captions)):
        raise DataError(
            f"has numbers for the captions of the split {split}: {list_names([*map(repr, captions)], NAMED)}.",
            file=listing.file,
            remedy="Name the column of the captions `caption`, or move the files of classes and boxes elsewhere.",
        )


def _list_packed(folder: Path) -> list[str]:
    """Return the archives in a folder, which may contain the pictures."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    return [*list_archives(names), *(name for name in names if name.endswith(".tar"))]


def _list_arrays(folder: Path) -> list[str]:
    """Return the arrays in a folder, and in the folders in it, if it has no pictures."""
    if next(walk_pictures(folder), None):
        return []
    found = (path for form in ("*.np[yz]", "*/*.np[yz]") for path in folder.glob(form))
    return sorted(path.relative_to(folder).as_posix() for path in islice(found, LISTED))


def _require_none(bad: Mapping[str, str], images: Sequence[CaptionedImage], split: str, listing: Listing) -> None:
    for reason, what in ((ABSENT, "are absent"), (WITHOUT_CAPTION, "have no caption, or an empty one")):
        names = [name for name, its_reason in bad.items() if its_reason == reason]
        if names:
            lines = {name: f"{name} ({listing.empty[name]})" for name in names if name in listing.empty}
            listed = names if reason == ABSENT else [lines.get(name, name) for name in names]
            shown = list_names([f"{name[:LONGEST]}…" if len(name) > 2 * LONGEST else name for name in listed], NAMED)
            hint, remedy = _advise(names, listing) if reason == ABSENT else ("", f"Write one for each, {SKIP}.")
            problem = f"{len(names):,} of the {len(images):,} pictures of the split {split} {what}: {shown}.{hint}"
            raise DataError(problem, file=listing.file, remedy=remedy)


def _advise(absent: Sequence[str], listing: Listing) -> tuple[str, str]:
    """Return what is there in the place of absent pictures, and what to do; both empty if none is absent."""
    if not absent:
        return "", ""
    if len(absent[0]) > LONGEST and BASE64.match(absent[0]):
        remedy = "Write them to files, or to a column of bytes in Parquet."
        return " They are pictures as text (Base64), which are not read.", remedy
    if ADDRESS.match(absent[0]):
        return "", advise_download(listing.file)
    if similar := find_similar(listing.folder, absent[0]):
        why = "case matters" if absent[0].lower().endswith(similar.name.lower()) else "the suffix differs"
        remedy = f"Write the names of the files into the list, {SKIP}."
        return f" Found {similar.relative_to(listing.folder)}: {why}.", remedy
    if listing.file.is_file() and lists_addresses(listing.file):  # in another column
        return "", advise_download(listing.file)
    if packed := _list_packed(listing.folder):
        return "", f"Unpack {list_names(packed, NAMED)}, or copy the pictures to {listing.folder} or a subfolder."
    if arrays := _list_arrays(listing.folder):
        return (
            f" There are no pictures, but arrays: {list_names(arrays, NAMED)}.",
            "Features are read from one file for each split: write train_ims.npy with a row for each image, or "
            "train_ims.npz with an array for each, beside train_ids.txt and train_caps.txt.",
        )
    return "", f"Copy them to {listing.folder} or a subfolder, remove them from the list, {SKIP}."
