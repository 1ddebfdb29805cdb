"""Where pictures come from: a data set, a folder with captions, or any folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from vsezoo.data.folder_source import FolderSource
from vsezoo.data.lookup import find_source
from vsezoo.data.pictures.check import find_unreadable
from vsezoo.data.pictures.find import list_pictures
from vsezoo.data.pictures.listing import CaptionedImage
from vsezoo.data.pictures.pairs import PicturePairs
from vsezoo.data.pictures.picture_file import Place
from vsezoo.data.pictures.source import PictureSource
from vsezoo.data.source import DataSource, OpenOptions
from vsezoo.errors import DataError, UsageError
from vsezoo.interfaces import PairDataset

LOOSE = "all"
"""The one split of pictures without captions."""

RESTVAL = "restval"
"""The split of COCO that is none of its own, but added to `train` by `--use-restval`."""


class PictureSplits(NamedTuple):
    """Pictures that can be opened.

    Attributes:
        names: of the splits.
        open: opens one of them.
    """

    names: Sequence[str]
    open: Callable[[str, OpenOptions], PairDataset]


def find_pictures(data: str, root: Path | None = None) -> PictureSplits:
    """Return the pictures of a data set or of a folder; without captions if the folder has none.

    Args:
        data: a registered name or a folder.
        root: where registered data sets are looked for.

    Raises:
        UsageError: for a data set without pictures, or a name that is neither.
        DataError: for a folder without pictures, or a data set that is absent or damaged.
    """
    source: DataSource = find_source(data)
    if isinstance(source, FolderSource):
        folder, captioned = source.folder, _find_captioned(source)
        if captioned is None:
            return PictureSplits([LOOSE], lambda split, options: open_loose(folder, split, options))
        source = captioned
    if "picture" not in source.kinds:
        raise UsageError(
            f"The data set {data!r} has features, and no pictures to make them of.",
            remedy="`vsezoo list-datasets` tells which have pictures.",
        )
    names, open_split = list(source.splits), source.open
    if isinstance(source, PictureSource):
        there = source.read(root).splits.keys() - {RESTVAL}
        names = sorted(there, key=lambda name: (names.index(name) if name in names else len(names), name))
    return PictureSplits(names, lambda split, options: open_split(split, ("picture",), options))


def open_loose(folder: Path, split: str, options: OpenOptions) -> PicturePairs:
    """Open the pictures below a folder as a split without captions; their ids are their paths from the folder.

    Raises:
        UsageError: for another split than `all`.
        DataError: when none of them can be read.
    """
    if split != LOOSE:
        raise UsageError(
            f"has no captions, and so no split {split!r}.", file=folder, remedy=f"Leave --split out: all are {LOOSE!r}."
        )
    places = {path.relative_to(folder).as_posix(): Place(str(path)) for path in list_pictures(folder)}
    bad = find_unreadable(places, folder.name) if options.on_bad_image == "skip" else {}
    kept = [CaptionedImage(name, [], place) for name, place in places.items() if name not in bad]
    if not kept:
        name, reason = next(iter(bad.items()))
        raise DataError(f"not one picture can be read; the first: {name} {reason}.", file=folder)
    return PicturePairs(folder.absolute().name, split, kept, bad)


def _find_captioned(source: FolderSource) -> PictureSource | None:
    """Return what a folder has of pictures with captions; None if it has pictures without.

    Raises:
        DataError: when it has no pictures.
    """
    absent = DataError("holds features and no pictures.", file=source.folder, remedy="Give the folder of the pictures.")
    try:
        found = [kind for kind in source.list_sources() if isinstance(kind, PictureSource)]
    except DataError as error:
        found, absent = [], error
    if not found and next(list_pictures(source.folder), None) is None:
        raise absent
    return found[0] if found else None
