"""Find pictures: in a data set, in a folder with captions, or in any folder of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from vsezoo.data.lookup import as_folder, find_source
from vsezoo.data.pictures.check import find_unreadable
from vsezoo.data.pictures.listing import CaptionedImage
from vsezoo.data.pictures.pairs import PicturePairs
from vsezoo.data.pictures.picture_file import Place
from vsezoo.data.pictures.walk import list_pictures, walk_pictures
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, UsageError, report_system_errors
from vsezoo.inputs import PairDataset

LOOSE = "all"
"""The only split of pictures without captions."""

RESTVAL = "restval"
"""A split of COCO that is not used on its own, but added to `train` by `--use-restval`."""


class PictureSplits(NamedTuple):
    """Splits of pictures.

    Attributes:
        names: names of the splits.
        open: opens a split.
    """

    names: Sequence[str]
    open: Callable[[str, OpenOptions], PairDataset]


@report_system_errors
def find_pictures(data: str, root: Path | None = None) -> PictureSplits:
    """Return the splits of pictures of a data set or of a folder, which may have no captions.

    Args:
        data: a registered name or a folder.
        root: where registered data sets are looked for.

    Raises:
        UsageError: for a data set without pictures, or an unknown name.
        DataError: for a folder without pictures, or a data set that is missing or damaged.
    """
    folder, source = as_folder(data), find_source(data)
    where = OpenOptions(root)
    absent = DataError("contains features, not pictures.", file=folder, remedy="Give the folder of the pictures.")
    try:
        captioned = next((one for one in source.list_sources(where) if "picture" in one.kinds), None)
    except DataError as error:
        captioned, absent = None, error
    if captioned is not None:
        names, order = set(captioned.list_splits(where)) - {RESTVAL}, captioned.splits
        known = sorted(names, key=lambda name: (order.index(name) if name in order else len(order), name))
        return PictureSplits(known, lambda split, options: captioned.open(split, ("picture",), options))
    if folder is None:
        raise UsageError(
            f"The data set {data!r} has features, not pictures.",
            remedy="`vsezoo list-datasets` shows which data sets have pictures.",
        )
    if next(list_pictures(folder), None) is None:
        raise absent
    return PictureSplits([LOOSE], lambda split, options: open_loose(folder, split, options))


def open_loose(folder: Path, split: str, options: OpenOptions) -> PicturePairs:
    """Open the pictures below a folder as a split without captions; their ids are their paths from the folder.

    Raises:
        UsageError: for a split other than `all`.
        DataError: when none of them can be read.
    """
    if split != LOOSE:
        raise UsageError(
            f"has no captions and therefore no split {split!r}.",
            file=folder,
            remedy=f"Omit --split: all pictures are in {LOOSE!r}.",
        )
    found = list(walk_pictures(folder))
    places = {one.name: Place(one.file) for one in found if not one.reason}
    bad = {one.name: one.reason for one in found if one.reason}
    if options.on_bad_image == "skip":
        bad |= find_unreadable(places, folder.name)
    kept = [CaptionedImage(name, [], place) for name, place in places.items() if name not in bad]
    if not kept:
        name, reason = next(iter(bad.items()))
        raise DataError(f"no picture can be read; the first: {name} {reason}.", file=folder)
    return PicturePairs(folder.absolute().name, split, kept, bad)
