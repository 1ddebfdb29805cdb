"""Items of choices, and the files that they come in: those of Winoground, SugarCrepe and ARO, and a plain form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.errors import DataError
from vsezoo.storage.plain_file import explain_unread, read_plain

SUFFIXES = (".json", ".jsonl")
OBTAIN = (
    "Give a file of Winoground (examples.jsonl), SugarCrepe (replace_obj.json, …) or ARO "
    "(visual_genome_relation.json, …), "
    'or one whose lines are {"image": "a.jpg", "captions": ["right", "wrong"]}, or the folder of such files.'
)


class Crop(NamedTuple):
    """An image of a choice: a file, or a part of its picture.

    Attributes:
        file: its name, with or without a folder and a suffix.
        box: left, top, right and bottom in pixels; empty: all of the picture.
    """

    file: str
    box: tuple[int, int, int, int] | tuple[()] = ()

    @property
    def name(self) -> str:
        """The id of the image."""
        return f"{self.file}[{','.join(map(str, self.box))}]" if self.box else self.file


@dataclass(frozen=True)
class Choice:
    """An item: one image with captions of which the first is right, or as many images as captions, in the same order.

    Attributes:
        images: one, or as many as captions.
        captions: two or more.
        group: whose figure it counts for.
    """

    images: tuple[Crop, ...]
    captions: tuple[str, ...]
    group: str


def read_choices(place: Path) -> list[Choice]:
    """Return the items of a file, or of all files in a folder, whose groups are the names of the files.

    Raises:
        DataError: for files that are absent, damaged or of another form.
    """
    files = sorted(file for file in place.iterdir() if file.suffix in SUFFIXES) if place.is_dir() else [place]
    choices = [choice for file in files for choice in _read_file(file)]
    if not choices:
        raise DataError("has no choices.", file=place, remedy=OBTAIN)
    return choices


def _read_file(file: Path) -> Iterator[Choice]:
    for number, entry in enumerate(_read_entries(file), start=1):
        try:
            choice = _read_entry(entry, file.stem)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"entry {number} is not a choice: {error!r}.", file=file, remedy=OBTAIN) from error
        if len(choice.captions) < 2 or len(choice.images) not in (1, len(choice.captions)):
            problem = f"entry {number} has {len(choice.images)} images and {len(choice.captions)} captions."
            raise DataError(problem, file=file, remedy="Give one image and several captions, or as many of both.")
        yield choice


def _read_entries(file: Path) -> list[Mapping[str, Any]]:
    try:
        with explain_unread(file, remedy=OBTAIN):
            text = read_plain(file).decode()
        value = json.loads(text) if file.suffix == ".json" else [json.loads(line) for line in text.splitlines() if line]
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}.", file=file, remedy=OBTAIN) from error
    entries = list(value.values()) if isinstance(value, dict) else value  # SugarCrepe numbers its entries by keys
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise DataError("is not a list of choices.", file=file, remedy=OBTAIN)
    return entries


def _read_entry(entry: Mapping[str, Any], group: str) -> Choice:
    """Return the item of an entry, whose form its keys show."""
    if "caption_0" in entry:  # Winoground
        images, captions = (
            [entry[f"image_{side}"] for side in (0, 1)],
            [entry[f"caption_{side}"] for side in (0, 1)],
        )
    elif "negative_caption" in entry:  # SugarCrepe
        images, captions = [entry["filename"]], [entry["caption"], entry["negative_caption"]]
    elif "false_caption" in entry:  # ARO, relations and attributes
        images, captions = [entry["image_path"]], [entry["true_caption"], entry["false_caption"]]
    else:
        images = entry["images"] if "images" in entry else [entry["image"]]
        captions = entry["captions"] if "captions" in entry else entry["caption_options"]
    if not all(isinstance(item, str) for item in (*images, *captions)):
        raise TypeError("images and captions are texts")
    box: tuple[int, int, int, int] | tuple[()] = ()
    if "bbox_x" in entry:
        left, top, width, height = (int(entry[f"bbox_{part}"]) for part in "xywh")
        box = left, top, left + width, top + height
    return Choice(tuple(Crop(image, box) for image in images), tuple(captions), str(entry.get("group", group)))
