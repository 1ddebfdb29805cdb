"""Choose the splits of a data set of pictures again, by group, and write them to `splits.csv`."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.data.pictures.drawing import RULE, draw_groups, group_by_folder, group_by_pattern
from vsezoo.data.pictures.find import find_files
from vsezoo.data.pictures.likeness import Sketch, group_near, sketch
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.data.pictures.picture_file import Place
from vsezoo.data.pictures.split_file import SPLITS_FILE, write_splits
from vsezoo.errors import DataError, UsageError, list_names
from vsezoo.storage.atomic_file import write_whole

FOLDER, NEAR = "folder", "near-duplicates"
"""Names of ways to group; any other is a regular expression."""

NAMED = 5


@dataclass(frozen=True)
class Resplit:
    """New splits.

    Attributes:
        file: the `splits.csv` to write.
        rule: how they were made.
        split_of: split by picture id.
        groups: group by picture id; empty if they were not drawn by group.
    """

    file: Path
    rule: str
    split_of: Mapping[str, str]
    groups: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the file, the rule, the number of groups, and the number of pictures per split, as JSON values."""
        counts = dict(Counter(self.split_of.values()))
        groups = len(set(self.groups.values()))
        return {"file": str(self.file), "rule": self.rule, "groups": groups, "splits": counts}

    def write(self, *, force: bool) -> None:
        """Write the file, as a whole or not at all.

        Raises:
            UsageError: when it exists and `force` is False.
            StorageError: when it cannot be written.
        """
        if self.file.exists() and not force:
            raise UsageError("already exists.", file=self.file, remedy="Give --force to replace it.")
        write_whole(self.file, write_splits(self.split_of, self.groups))


def rename_splits(listing: Listing, renamed: Mapping[str, str]) -> Resplit:
    """Return the splits of a data set under other names, such as train for 0.

    Raises:
        UsageError: for an unknown split, or a name that is not one of a split.
    """
    if unknown := [name for name in renamed if name not in listing.splits]:
        raise UsageError(f"There is no split {unknown[0]!r}.", remedy=f"The splits are {', '.join(listing.splits)}.")
    if wrong := [name for name in renamed.values() if name_split(name) not in SPLITS]:
        raise UsageError(f"{wrong[0]!r} is not the name of a split.", remedy=f"Known: {', '.join(SPLITS)}.")
    split_of = {
        image.name: name_split(renamed.get(split, split))
        for split, images in listing.splits.items()
        for image in images
    }
    rule = ", ".join(f"{old} is {new}" for old, new in renamed.items())
    return Resplit(listing.folder / SPLITS_FILE, rule, split_of, {})


def draw_splits(
    listing: Listing,
    group: str,
    dev: float,
    test: float,
    advance: Callable[[int, int], None] = lambda done, total: None,
    *,
    keep: bool = False,
) -> Resplit:
    """Draw new splits for all pictures of a data set, the pictures of a group together.

    Args:
        listing: the data set.
        group: "folder", "near-duplicates", a regular expression for the ids; empty: each picture is a group.
        dev: share of the pictures in dev, from 0 to 1.
        test: share of the pictures in test.
        advance: receives the number of pictures that were looked at, and their total.
        keep: draw only dev and test that are absent, from train; the other splits are as given.

    Raises:
        UsageError: for nothing to draw, or to draw from; for an expression that does not suit, too few groups, or
            shares above 1.
        DataError: for pictures that cannot be read.
        MissingPackageError: for near duplicates without ImageHash.
    """
    if dev < 0 or test < 0 or dev + test >= 1:
        raise UsageError("The shares of dev and test must be at least 0, and less than 100% together.")
    given = {image.name: split for split, of_split in listing.splits.items() for image in of_split}
    drawn = _find_absent(listing) if keep else ("dev", "test")
    dev, test = dev if "dev" in drawn else 0, test if "test" in drawn else 0
    sources = [listing.splits["train"]] if keep else listing.splits.values()
    images = {image.name: image for of_split in sources for image in of_split}
    if group == FOLDER:
        groups, way = group_by_folder(list(images)), "folders are groups"
    elif group == NEAR:
        groups, way = _group_near(listing, images, advance), "near duplicates are groups"
    elif group:
        groups, way = group_by_pattern(list(images), group), f"what {group!r} finds is the group"
    else:
        groups, way = {name: name for name in images}, "each picture is a group"
    split_of = {**(given if keep else {}), **draw_groups(groups, dev, test)}
    rule = f"{way}; {RULE} ({test:.0%} test, {dev:.0%} dev){' of train, the other splits as given' if keep else ''}"
    return Resplit(listing.folder / SPLITS_FILE, rule, split_of, groups)


def _find_absent(listing: Listing) -> list[str]:
    known = ", ".join(name for name, images in listing.splits.items() if images) or "none"
    if not listing.splits.get("train"):
        remedy = "Say which one is: --rename OLD=train, or draw all of them without --keep."
        raise UsageError(f"There is no split train to draw from; the splits are {known}.", remedy=remedy)
    if absent := [split for split in ("dev", "test") if not listing.splits.get(split)]:
        return absent
    raise UsageError(f"There is nothing to draw: the splits are {known}.", remedy="Without --keep all are drawn anew.")


def _group_near(
    listing: Listing, images: Mapping[str, CaptionedImage], advance: Callable[[int, int], None]
) -> dict[str, str]:
    places = {name: image.place for name, image in images.items()}
    absent = [name for name, place in places.items() if place is None]
    for name, file in zip(absent, find_files(listing.folder, absent), strict=True):
        places[name] = Place(file) if file else None
    if lost := [name for name, place in places.items() if place is None]:
        problem = f"{len(lost):,} pictures are absent: {list_names(lost, NAMED)}."
        raise DataError(problem, file=listing.file, remedy="Restore them, or remove them from the list.")
    sketches: list[Sketch | None] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for place in filter(None, places.values()):
            sketches.append(_sketch(place))
            advance(len(sketches), len(places))
    names: Sequence[str] = list(places)
    return {name: names[first] for name, first in zip(names, group_near(sketches), strict=True)}


def _sketch(place: Place) -> Sketch | None:
    try:
        return sketch(place.read())
    except DataError:  # what cannot be read is like nothing; the doctor reports it
        return None
