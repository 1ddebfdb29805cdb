"""WebDataset: shards, that is tar archives, in which files of one name and different endings make a sample.

A shard is looked through once; after that pictures are read from where they lie in it, in any order, and nothing is
unpacked. What was found is kept in the cache folder, for as long as the shard has the same size and time.
"""

from __future__ import annotations

import functools
import json
import re
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from vsezoo.data.cache import identify, remember
from vsezoo.data.layouts.folder import CAPTION_COLUMNS, clean_captions, draw_split
from vsezoo.data.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.errors import DataError

PICTURES = ("jpg", "jpeg", "png", "webp")
FORM = "A sample is a picture (jpg, png, webp) and its captions (txt, one on each line, or json)."


def find_shards(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `*.tar`, in the folder or in the folders of splits.

    The split of a shard is the name of its folder, or a word of its own name: `train/00.tar`, `flickr-train-00.tar`.
    """
    shards = sorted([*folder.glob("*.tar"), *folder.glob("*/*.tar")])
    return functools.partial(_read, folder, shards) if shards else None


def _read(folder: Path, shards: Sequence[Path]) -> Listing:
    named = {shard: _find_split(shard.relative_to(folder)) for shard in shards}
    unnamed = [shard for shard, split in named.items() if not split]
    if unnamed and len(unnamed) < len(shards):
        remedy = f"Put each shard into a folder, or begin its name with one, of {', '.join(SPLITS[:3])}."
        raise DataError("does not say by its name which split it is, other shards do.", file=unnamed[0], remedy=remedy)
    splits: dict[str, dict[str, CaptionedImage]] = {}
    for shard, split in named.items():
        for image in read_shard(shard):
            of_split = splits.setdefault(split or draw_split(image.name), {})
            if image.name in of_split:
                raise DataError(
                    f"has a sample {image.name!r}, as {_name_shard(of_split[image.name], folder)} has.",
                    file=shard,
                    remedy="Give each sample of a split a name of its own.",
                )
            of_split[image.name] = image
    remedy = "" if not unnamed else f"No shard is named for a split; the names of samples say it then. {FORM}"
    return Listing(folder, folder, {split: list(images.values()) for split, images in splits.items()}, remedy)


def read_shard(shard: Path) -> list[CaptionedImage]:
    """Return the samples of a shard in their order; one without captions has none, one without a picture no place.

    Raises:
        DataError: for a file that cannot be read or is no tar archive, a compressed one included.
    """
    from vsezoo.data.picture_file import Place  # imports numpy

    try:
        found = remember("shards", identify(shard), functools.partial(_look_through, shard))
    except OSError as error:
        remedy = "There must be a file that you may read."
        raise DataError(f"cannot be read: {error.strerror or error}.", file=shard, remedy=remedy) from None
    except tarfile.TarError as error:
        remedy = "Copy it again, or unpack it if it is compressed: pictures are read from the middle of it."
        raise DataError(f"is not a whole, uncompressed tar archive: {error}.", file=shard, remedy=remedy) from None
    return [
        CaptionedImage(key, captions, Place(str(shard), part[0], part[1], key) if part else None)
        for key, captions, part in found
    ]


def _look_through(shard: Path) -> list[tuple[str, list[str], list[int]]]:
    """Return for each sample its name, its captions, and offset and size of its picture in bytes, if it has one."""
    parts: dict[str, list[int]] = {}
    texts: dict[str, list[str]] = {}
    with tarfile.open(shard, "r:") as archive:
        for member in archive:
            path = PurePosixPath(member.name)
            stem, _, ending = path.name.partition(".")
            if not member.isfile() or not stem:
                continue
            key = str(path.with_name(stem))
            parts.setdefault(key, [])
            if ending.lower() in PICTURES:
                parts[key] = [member.offset_data, member.size]
            elif ending.lower() in ("txt", "json"):
                stream = archive.extractfile(member)
                content = stream.read() if stream else b""
                captions = _read_captions(content, ending.lower(), f"{shard} ({member.name})")
                if ending.lower() == "txt" or key not in texts:
                    texts[key] = captions
    return [(key, texts.get(key, []), part) for key, part in parts.items()]


def _read_captions(content: bytes, ending: str, name: str) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
        value: Any = text.splitlines() if ending == "txt" else json.loads(text)
    except (ValueError, RecursionError) as error:
        form = "UTF-8 text" if ending == "txt" else "JSON"
        raise DataError(f"is not {form}: {error}.", file=name, remedy=f"Write the shard again. {FORM}") from None
    if isinstance(value, dict):
        value = next((value[column] for column in CAPTION_COLUMNS if column in value), [])
    elif isinstance(value, list):
        value = [line for line in value if str(line).strip()]
    return clean_captions(value)


def _find_split(shard: Path) -> str:
    for words in (shard.parent.name, *re.split(r"[^a-z]+", shard.stem.lower())):
        if name_split(words) in SPLITS:
            return name_split(words)
    return ""


def _name_shard(image: CaptionedImage, folder: Path) -> str:
    return "a sample without a picture" if image.place is None else str(Path(image.place.file).relative_to(folder))
