"""Assign pictures to splits: by a list, else by folder, else by a hash of the path.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.errors import DataError, list_names

BY_COLUMN = "given by the column `{}`"
BY_FOLDER = "given by the folders that the images are in"
BY_TABLE = "given by the folder or the name of each table"
BY_FILE = "given by the folder or the name of each file"
BY_LISTS = "given by the names of the lists"
DRAWN = "drawn by the SHA-256 of each image's path"
"""The rules, as reported."""

REMEDY_DRAWN = (
    "There is neither a column `split` nor a folder for each split, so a hash of the path decides: about 80% of "
    "pictures are in train, 10% in dev and 10% in test; of three or more, one at least is in each. Add a column "
    "`split` to choose yourself, or draw by group with `vsezoo data split`."
)
REMEDY_WORDS = (
    "Name them train, dev and test (training, val, validation, eval, train2014 and the like are also known), or say "
    "what they are: `vsezoo data split DATA --rename OLD=train --rename …`."
)
REMEDY_FEW = (
    "There is no column `split`, and three images are needed for one each in train, dev and test: add images. "
    "`vsezoo search` needs no splits."
)
NAMED = 3
FEWEST = 3  # pictures of which one is drawn for each split


class Assignment(NamedTuple):
    """The splits of pictures.

    Attributes:
        splits: split by picture id.
        rule: the rule of the assignment, such as `DRAWN`.
    """

    splits: Mapping[str, str]
    rule: str


def normalise_path(name: str, folder: Path) -> str:
    """Return a path relative to the data folder, without `./`, `//` and `x/../`; absolute if it is outside."""
    path = posixpath.normpath(name)
    for root in (folder.absolute(), folder.resolve()) if path.startswith("/") else ():
        if PurePosixPath(path).is_relative_to(root.as_posix()):
            return str(PurePosixPath(path).relative_to(root.as_posix()))
    return path


def find_split(path: str, file: Path) -> str:
    """Return the split that a folder in a path is named after, at any depth; empty if there is none.

    Args:
        path: relative to the data folder.
        file: the list, for the message.

    Raises:
        DataError: when two folders in it are named after different splits.
    """
    found = {split for folder in path.split("/")[:-1] if (split := name_split(folder)) in SPLITS}
    if len(found) > 1:
        raise DataError(
            f"has {path}, which is in folders of several splits: {' and '.join(sorted(found))}.",
            file=file,
            remedy="Write the split of each picture to a column `split`, or rename a folder.",
        )
    return next(iter(found), "")


def find_word(stem: str) -> str:
    """Return the split in the name of a list, such as `flickr-val_01`; empty if there is none."""
    words = re.split(r"[^a-z0-9]+", stem.lower())
    return next((split for word in words if (split := name_split(word)) in SPLITS), "")


def draw_split(path: str) -> str:
    """Return a split for a picture by the SHA-256 of its path: adding or removing other pictures does not change it.

    Args:
        path: relative to the data folder, as returned by `normalise_path`.
    """
    return {0: "test", 1: "dev"}.get(_number(path) % 10, "train")


def _number(path: str) -> int:
    """Return the first eight bytes of the SHA-256 of a path."""
    known = path.encode(errors="surrogatepass")  # names in archives and on disks need not be UTF-8
    return int.from_bytes(hashlib.sha256(known).digest()[:8])


def draw_all(paths: Sequence[str]) -> list[str]:
    """Return the split of each picture by `draw_split`, so that of three or more pictures one at least is in each.

    An empty split gets a picture from the largest one, the one with the lowest number: test first, then dev, train.

    Args:
        paths: of all pictures, each different; relative to the data folder, as returned by `normalise_path`.
    """
    drawn = [draw_split(path) for path in paths]
    empty = [split for split in ("test", "dev", "train") if split not in drawn] if len(paths) >= FEWEST else []
    for split in empty:
        largest = max(SPLITS[:3], key=drawn.count)
        members = [index for index, of in enumerate(drawn) if of == largest]
        drawn[min(members, key=lambda index: _number(paths[index]))] = split
    return drawn


def assign_splits(paths: Mapping[str, str], file: Path, absent: Collection[str] = ()) -> Assignment:
    """Assign pictures whose list does not name splits.

    If the pictures are in folders named after splits, at any depth, the folders decide, whether the list contains them
    or not. Otherwise the hash of the id decides.

    Args:
        paths: paths relative to the data folder, by picture id.
        file: the list, for messages.
        absent: ids of pictures without a file. If folders decide and theirs is unknown, they count as train, which
            is then refused because of them, or skips them.

    Raises:
        DataError: when only some pictures are in folders named after splits: random assignment of the others could
            mix training and test pictures.
    """
    named = {name: find_split(path, file) for name, path in paths.items()}
    if not any(named.values()):
        return Assignment(dict(zip(paths, draw_all(list(paths)), strict=True)), DRAWN)
    unnamed = [name for name, split in named.items() if not split and name not in absent]
    if unnamed:
        raise DataError(
            f"has {len(named) - len(unnamed):,} pictures in folders named after splits, and {len(unnamed):,} in "
            f"none: {list_names(unnamed, NAMED)}.",
            file=file,
            remedy="Write the split of each picture to a column `split`, or move all pictures into such folders.",
        )
    return Assignment({name: split or "train" for name, split in named.items()}, BY_FOLDER)


def place_within(folder: Path, prefix: str, images: Iterable[CaptionedImage]) -> None:
    """Set the places of pictures that are in a folder of the data folder, or in a folder in that.

    Args:
        folder: the data folder.
        prefix: path of the folder in it from which the list sees them.
        images: the pictures; their names begin with the prefix.
    """
    from vsezoo.data.pictures.find import find_files
    from vsezoo.data.pictures.picture_file import Place  # imports numpy

    within = [image for image in images if image.name.startswith(f"{prefix}/")]
    names = [image.name.removeprefix(f"{prefix}/") for image in within]
    for image, found in zip(within, find_files(folder / prefix, names), strict=True):
        image.place = Place(found) if found else None


def gather(
    folder: Path, file: Path, images: dict[str, CaptionedImage], empty: Mapping[str, str] | None = None
) -> Listing:
    """Assign pictures by their files, see `assign_splits`; if two names refer to one file, the first is its id.

    Args:
        folder: the data folder.
        file: the list, for messages.
        images: pictures by id; their places are filled in.
        empty: see `Listing.empty`.

    Raises:
        DataError: see `assign_splits`; also for an ambiguous file name.
    """
    from vsezoo.data.pictures.find import find_files
    from vsezoo.data.pictures.picture_file import Place  # imports numpy

    wanted = [name for name, image in images.items() if image.place is None]
    for name, found in zip(wanted, find_files(folder, wanted), strict=True):
        images[name].place = Place(found) if found else None
    paths: dict[str, str] = {}
    first: dict[str, CaptionedImage] = {}
    for name, image in images.items():
        path = normalise_path(Path(image.place.file).absolute().as_posix(), folder) if image.place else name
        if image.place and path in first:
            first[path].add(image.captions, image.languages)
        else:
            first[path], paths[name] = image, path
    assigned = assign_splits(paths, file, {name for name in paths if images[name].place is None})
    splits: dict[str, list[CaptionedImage]] = {}
    for name in paths:
        splits.setdefault(assigned.splits[name], []).append(images[name])
    drawn = REMEDY_FEW if len(paths) < FEWEST else REMEDY_DRAWN
    remedy = drawn if assigned.rule == DRAWN else ""
    return Listing(folder, file, splits, remedy, assigned.rule, empty=empty or {})
