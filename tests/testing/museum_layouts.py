"""Broken layouts of pictures, each made from a sound one: `pairs.tsv`, with a split, an image and a caption a line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from museum import put_on_show
from PIL import Image

from vsezoo.data.pictures.listing import CaptionedImage, Listing
from vsezoo.testing.subject import Subject

FILE = "pairs.tsv"
ROWS = [(split, f"{split}/{index}.png", f"{split} {index}") for split in ("train", "dev") for index in range(3)]


def write_example(folder: Path) -> Path:
    """Write a folder of the layout."""
    for number, (_, image, _) in enumerate(ROWS):
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (number, 0, 0)).save(folder / image)
    (folder / FILE).write_text("".join("\t".join(row) + "\n" for row in ROWS), encoding="utf-8")
    return folder


def read(folder: Path) -> Listing:
    splits: dict[str, list[CaptionedImage]] = {}
    for line in (folder / FILE).read_text(encoding="utf-8").splitlines():
        split, image, caption = line.split("\t")
        splits.setdefault(split, []).append(CaptionedImage(image, [caption]))
    return Listing(folder, folder / FILE, splits)


def find_sound(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    return functools.partial(read, folder) if FILE in names else None


def find_anything(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    return functools.partial(read, folder)


def find_first(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    return find_sound(folder, names) if names[0] == FILE else None


def find_val(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    return change(find_sound(folder, names), lambda splits: {"train": splits["train"], "val": splits["dev"]})


def find_bare(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    return change(find_sound(folder, names), lambda splits: splits | {"test": [CaptionedImage("dev/0.png", [])]})


def find_kept(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    found = find_sound(folder, names)
    return None if found is None else functools.partial(read_once, folder.absolute())


read_once = functools.cache(read)


def find_other_names(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    return change(find_sound(folder, names), lambda splits: {"train": [CaptionedImage("0.png", ["one"])]})


def find_leak(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    return change(find_sound(folder, names), lambda splits: splits | {"test": splits["train"][:1]})


Splits = dict[str, list[CaptionedImage]]


def change(found: Callable[[], Listing] | None, make: Callable[[Splits], Splits]) -> Callable[[], Listing] | None:
    def read_changed() -> Listing:
        assert found is not None
        listing = found()
        return Listing(listing.folder, listing.file, make(listing.splits))

    return found and read_changed


for find, *fails in (
    (find_sound,),
    (find_anything, "others"),
    (find_first, "others"),
    (find_val, "listing"),
    (find_bare, "listing", "pairs"),
    (find_kept, "repeat"),
    (find_other_names, "pairs"),
    (find_leak, "pairs"),
):
    settings: dict[str, Any] = {"folder": "pictures"}
    put_on_show(find.__name__, Subject("layouts", "under-test", find), *fails, **settings)
