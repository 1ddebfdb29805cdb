"""Fashion IQ: sentences that say how a garment (the target) differs from another one (the candidate).

Each target is a picture with its sentences as captions; what they compare it with is not used.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from vsezoo.data.caption_file import read_lines
from vsezoo.data.pictures.cells import read_captions
from vsezoo.data.pictures.listing import CaptionedImage, Listing, name_split
from vsezoo.data.pictures.splits import BY_LISTS
from vsezoo.data.pictures.walk import list_pictures
from vsezoo.errors import DataError

CAPTIONS = re.compile(r"cap\.(?P<category>[\w-]+)\.(?P<split>[a-z]+)\.json")
FORM = 'Each entry is an object such as {"target": "B001", "candidate": "B002", "captions": ["is red", "has sleeves"]}.'
WITHOUT_TARGET = "The lists of the split {} do not name targets, as those of the challenge's test."


def find_fashion_iq(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `cap.dress.train.json` and the like, in the folder or in `captions`; pictures are anywhere below it."""
    for place in (folder, folder / "captions"):
        listed = names if place == folder else [path.name for path in place.iterdir()] if place.is_dir() else []
        if files := sorted(place / name for name in listed if CAPTIONS.fullmatch(name)):
            return functools.partial(_read, folder, files)
    return None


def _read(folder: Path, files: Sequence[Path]) -> Listing:
    from vsezoo.data.pictures.picture_file import Place  # imports numpy

    there = {picture.stem: picture for picture in reversed(list(list_pictures(folder)))}
    splits: dict[str, dict[str, CaptionedImage]] = {}
    bad: list[DataError] = []
    without = []
    for file in files:
        split = name_split(file.name.split(".")[-2])
        entries = list(_read_entries(file, bad))
        if entries and not any(target for target, _ in entries):
            without.append(split)
            continue
        of_split = splits.setdefault(split, {})
        for number, (target, captions) in enumerate(entries):
            if not target:
                bad.append(DataError(f"entry {number} names no target.", file=file, remedy=FORM))
                continue
            found = there.get(target)
            image = CaptionedImage(target, [], Place(str(found)) if found else None)
            of_split.setdefault(target, image).add(captions)
    remedy = " ".join(WITHOUT_TARGET.format(split) for split in dict.fromkeys(without))
    listing = {split: list(images.values()) for split, images in splits.items()}
    return Listing(folder, files[0].parent, listing, remedy, BY_LISTS, bad=bad)


def _read_entries(file: Path, bad: list[DataError]) -> Iterator[tuple[str, list[str]]]:
    """Yield the target, empty if there is none, and the captions of each entry."""
    try:
        entries: Any = json.loads("\n".join(read_lines(file)))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}.", file=file, remedy="Download or copy the file again.") from None
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        try:
            target = entry.get("target") or ""
            if not isinstance(target, str):
                raise ValueError(f"an invalid target: {target!r}")
            yield target, read_captions(entry["captions"])
        except (AttributeError, KeyError, ValueError) as error:
            reason = f"has {error}" if isinstance(error, ValueError) else "is not an object with captions"
            bad.append(DataError(f"entry {number} {reason}.", file=file, remedy=FORM))
