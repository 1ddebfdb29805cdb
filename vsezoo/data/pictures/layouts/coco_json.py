"""Captions in COCO's JSON format: COCO 2017, and exports of annotation tools."""

from __future__ import annotations

import functools
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.caption_file import CAPTIONS_PER_IMAGE
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, clean_caption, name_split, read_json
from vsezoo.data.pictures.splits import BY_COLUMN, BY_FILE, BY_LISTS, REMEDY_WORDS, find_word, gather, place_within
from vsezoo.data.pictures.table_columns import SPLIT_COLUMN
from vsezoo.errors import DataError
from vsezoo.storage.plain_file import open_plain

MOST = 50  # files that are inspected
FORM = "Expected `images` with id and file_name, and `annotations` with id, image_id and caption."
LOOKED_AT = 1 << 16  # bytes inspected at each end of a file
CAPTIONS = ("caption", "tokenized_caption")
"""Keys of the text, the first choice first; STAIR's tokenized files have both."""
BY_YEAR = re.compile(r"captions_([a-z]+20\d\d)")


def find_coco_json(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for files with `images` and `annotations` of captions, in one of `list_places` (also COCO 2017).

    Several files must be named after splits, `captions_train2017.json` and `captions_val2017.json`, or be in folders
    named after splits, one in each.

    Raises:
        DataError: for several files without such names.
    """
    for place in list_places(folder):
        files = [file for file in islice(sorted(place.glob("*.json")), MOST) if _is_coco(file)]
        if not files:
            continue
        named = {split: file for file in files if (split := find_word(file.stem))}
        if len(files) > 1 and len(named) < len(files):
            listing = ", ".join(file.name for file in files)
            remedy = (
                "Keep one of them, or one for each split, named after it: captions_train.json, captions_val.json. "
                "Move the others to another folder."
            )
            raise DataError(f"has several caption files: {listing}.", file=place, remedy=remedy)
        return functools.partial(_read_json, folder, named if len(files) > 1 else {"": files[0]})
    of_splits = {
        name_split(name): [file for file in sorted((folder / name).glob("*.json")) if _is_coco(file)]
        for name in names
        if name_split(name) in SPLITS
    }
    if any(of_splits.values()) and all(len(files) <= 1 for files in of_splits.values()):
        return functools.partial(
            _read_json, folder, {of: files[0] for of, files in of_splits.items() if files}, within=True
        )
    return None


def list_places(folder: Path) -> list[Path]:
    """Return where annotations may be: `annotations`, the folder, or as an archive unpacks into a folder of its own.

    A folder that has other folders next to its annotations is a data set of its own.
    """
    unpacked = (place for place in sorted(folder.glob("*/annotations")) if _is_alone(place))
    return [folder / "annotations", folder, *unpacked]


def _is_alone(place: Path) -> bool:
    return [path.name for path in place.parent.iterdir() if path.is_dir()] == [place.name]


def _is_coco(file: Path) -> bool:
    """Return whether the start and end of a file look like COCO captions; files can have hundreds of megabytes."""
    try:
        with open_plain(file) as stream:
            head = stream.read(LOOKED_AT)
            stream.seek(max(0, file.stat().st_size - LOOKED_AT))
            both = head + stream.read()
    except OSError:
        return False
    is_object = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    has_captions = any(f'"{name}"'.encode() in both for name in CAPTIONS)
    return is_object and has_captions and all(word in both for word in (b'"image_id"', b'"images"'))


def _read_json(folder: Path, files: Mapping[str, Path], *, within: bool = False) -> Listing:
    """Read the files of splits, or one of all; `within`: their names are relative to their own folders."""
    images: dict[str, dict[str, CaptionedImage]] = {}
    of_name, bad, cut = dict[str, str](), list[DataError](), 0
    for split, file in files.items():
        by_year = BY_YEAR.fullmatch(file.stem)
        prefix = by_year[1] if by_year and _has_folder(folder, by_year[1]) else ""
        prefix = file.parent.relative_to(folder).as_posix() if within else prefix
        of_split = images.setdefault(split, {})
        annotations = read_annotations(file, bad)
        of_name = {posixpath.join(prefix, annotations.names[image]): of for image, of in annotations.splits.items()}
        for name, caption in _list_pairs(annotations, prefix):
            captions = of_split.setdefault(name, CaptionedImage(name, [])).captions
            if caption is not None and by_year and len(captions) == CAPTIONS_PER_IMAGE:
                cut += 1
            elif caption is not None:
                captions.append(clean_caption(caption))
        if within:
            place_within(folder, prefix, of_split.values())
    if "" in images and of_name:
        return replace(_divide(folder, files[""], images[""], of_name, bad), cut=cut)
    if "" in images:
        return replace(gather(folder, files[""], images[""]), bad=bad, cut=cut)
    splits = {split: list(of_split.values()) for split, of_split in images.items()}
    place, rule = (folder, BY_FILE) if within else (next(iter(files.values())).parent, BY_LISTS)
    return Listing(folder, place, splits, rule=rule, bad=bad, cut=cut)


def _divide(
    folder: Path, file: Path, images: Mapping[str, CaptionedImage], of_name: Mapping[str, str], bad: list[DataError]
) -> Listing:
    """Return the listing of a file whose images name their splits."""
    splits: dict[str, list[CaptionedImage]] = {}
    for name, image in images.items():
        if name in of_name:
            splits.setdefault(of_name[name], []).append(image)
        else:
            remedy = f"Write a `{SPLIT_COLUMN}` into each of `images`, or into none."
            bad.append(DataError(f"{name} has no split, but others do.", file=file, remedy=remedy))
    remedy = "" if set(splits) & set(SPLITS) else REMEDY_WORDS
    return Listing(folder, file, splits, remedy, BY_COLUMN.format(SPLIT_COLUMN), bad=bad)


def _has_folder(folder: Path, name: str) -> bool:
    return (folder / name).is_dir() or any(place.is_dir() for place in folder.glob(f"*/{name}"))


def _list_pairs(annotations: Annotations, prefix: str) -> Iterator[tuple[str, str | None]]:
    """Yield each picture without a caption, then each caption with its picture."""
    names = {number: posixpath.join(prefix, name) for number, name in annotations.names.items()}
    yield from ((name, None) for name in names.values())
    yield from ((names[image], caption) for _, image, caption in annotations.captions if caption is not None)


class Annotations(NamedTuple):
    """The contents of a file.

    Attributes:
        names: of the files of pictures, by their numbers.
        captions: number of the annotation, number of the picture, and the caption, which may be null.
        splits: of pictures, by their numbers; empty for those whose entry has no `split`.
    """

    names: dict[Any, str]
    captions: list[tuple[Any, Any, str | None]]
    splits: dict[Any, str]


def read_annotations(file: Path, bad: list[DataError]) -> Annotations:
    """Read a file.

    Args:
        file: the file.
        bad: gets the errors of bad entries, which are left out.

    Raises:
        DataError: for a file that is not in this format.
    """
    content = read_json(file)
    lists = [content.get("images"), content.get("annotations")]
    if not all(isinstance(entries, list) for entries in lists):
        problem = "is not a COCO caption file: it lacks a list `images` or `annotations`."
        raise DataError(problem, file=file, remedy=FORM)
    names, splits, captions = dict[Any, str](), dict[Any, str](), list[tuple[Any, Any, str | None]]()
    for index, image in enumerate(content["images"]):
        try:
            number, name = image["id"], image["file_name"]
            if not isinstance(name, str) or isinstance(number, list | dict):
                raise TypeError("has an invalid id or file_name")
            names[number] = name
            if isinstance(split := image.get(SPLIT_COLUMN), str) and split.strip():
                splits[number] = name_split(split)
        except (KeyError, TypeError) as error:
            bad.append(_explain(f"images[{index}]", error, file))
    for index, entry in enumerate(content["annotations"]):
        try:
            caption, image = entry[next((name for name in CAPTIONS if name in entry), CAPTIONS[0])], entry["image_id"]
            if caption is not None and not isinstance(caption, str):
                raise TypeError(f"has a caption that is not text: {caption!r}")
            if image not in names:
                raise TypeError(f"is of the image {image!r}, which is not among the images")
            captions.append((entry.get("id"), image, caption))
        except (KeyError, TypeError) as error:
            bad.append(_explain(f"annotations[{index}]", error, file))
    return Annotations(names, captions, splits)


def _explain(entry: str, error: Exception, file: Path) -> DataError:
    reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
    return DataError(f"{entry} {reason}.", file=file, remedy=FORM)
