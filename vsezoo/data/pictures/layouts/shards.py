"""WebDataset: shards, that is tar archives, in which files of one name and different endings make a sample.

A shard is looked through once; after that pictures are read from where they lie in it, in any order, and nothing is
unpacked. What was found is kept in the cache folder, for as long as the shard has the same size and time. Shards that
`shards.txt` names by their addresses are read in the same way over the network, and need no disk at all.
"""

from __future__ import annotations

import functools
import json
import math
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from vsezoo.data.pictures.cells import clean_captions
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.data.pictures.splits import draw_split
from vsezoo.data.pictures.table_file import CAPTION_COLUMNS
from vsezoo.errors import DataError
from vsezoo.storage.addresses import is_address, open_address, show_address
from vsezoo.storage.cache import identify, remember
from vsezoo.storage.waiting import report_done

LIST = "shards.txt"
PICTURES = ("jpg", "jpeg", "png", "webp")
FORM = "A sample is a picture (jpg, png, webp) and its captions (txt, one on each line, or json)."
MOST = 1_000_000  # shards of a list: more are a slip of the pen
DIGITS = 18  # of a number in it
SLIP = "See what stands in its {…}."
READERS = 8  # of shards at one time: looking one through is waiting for its disk or its server


def find_shards(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `*.tar`, in the folder or in the folders of splits, and for `shards.txt`, which names others.

    The split of a shard is the name of its folder, or a word of its own name: `train/00.tar`, `flickr-train-00.tar`.
    """
    shards = sorted([*folder.glob("*.tar"), *folder.glob("*/*.tar")])
    return functools.partial(_read, folder, shards) if shards or LIST in names else None


def _read(folder: Path, files: Sequence[Path]) -> Listing:
    shards = [str(file) for file in files]
    if (folder / LIST).exists():
        shards += read_list(folder / LIST)
    named = {shard: _find_split(shard) for shard in shards}
    unnamed = [shard for shard, split in named.items() if not split]
    if unnamed and len(unnamed) < len(named):
        remedy = f"Put each shard into a folder, or begin its name with one, of {', '.join(SPLITS[:3])}."
        raise DataError(
            "does not say by its name which split it is, other shards do.", file=show_address(unnamed[0]), remedy=remedy
        )
    splits: dict[str, dict[str, CaptionedImage]] = {}
    with ThreadPool(READERS) as pool:  # its threads do not keep a process alive that Ctrl-C ends
        samples = report_done(pool.imap(read_shard, named), len(named), "shards are looked through")
        for (shard, split), images in zip(named.items(), samples, strict=True):
            _add(images, splits, split, shard)
    remedy = "" if not unnamed else f"No shard is named for a split; the names of samples say it then. {FORM}"
    return Listing(folder, folder, {split: list(images.values()) for split, images in splits.items()}, remedy)


def _add(
    images: Sequence[CaptionedImage], splits: dict[str, dict[str, CaptionedImage]], split: str, shard: str
) -> None:
    for image in images:
        of_split = splits.setdefault(split or draw_split(image.name), {})
        if image.name in of_split:
            place = of_split[image.name].place
            other = show_address(place.file) if place else "a sample without a picture"
            raise DataError(
                f"has a sample {image.name!r}, as {other} has.",
                file=show_address(shard),
                remedy="Give each sample of a split a name of its own.",
            )
        of_split[image.name] = image


def read_list(file: Path) -> list[str]:
    """Return the shards that a list names: in each line an address, or a path as seen from the list's folder.

    `{00..17}` in a line stands for all numbers from 00 to 17; lines that are empty or begin with `#` are left out.

    Raises:
        DataError: for a list that cannot be read, names nothing, too much, or a shard twice, or for a line that is
            neither an address nor a path.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read: {error}.", file=file, remedy="It must be UTF-8 text.") from None
    named = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    names = list(islice((name for line in named for name in _expand(line, file)), MOST + 1))
    shards = [name if is_address(name) else str(file.parent / name) for name in names]
    if not shards:
        remedy = "Write the address of a shard into each line, such as https://example.org/mine-train-{000..017}.tar"
        raise DataError("names no shard.", file=file, remedy=remedy)
    _require_few(len(shards), file)
    if twice := next((shard for shard, count in Counter(shards).items() if count > 1), None):
        raise DataError(f"names {show_address(twice)} twice.", file=file, remedy="Leave one of the two.")
    return shards


def _expand(line: str, file: Path) -> Iterator[str]:
    """Yield the names that a line stands for, the last of its numbers counting up first."""
    words = re.split(r"\{(\d+)\.\.(\d+)\}", line)
    parts = []
    for text, first, last in zip(words[::3], words[1::3], words[2::3], strict=False):
        if max(len(first), len(last)) > DIGITS:
            raise DataError(f"has a number of more than {DIGITS} digits.", file=file, remedy=SLIP)
        if int(first) > int(last):
            problem = f"has '{{{first}..{last}}}', in which the first number is the larger one."
            raise DataError(problem, file=file, remedy="Swap them.")
        parts.append((text, range(int(first), int(last) + 1), len(first)))
    count = math.prod(len(numbers) for _, numbers, _ in parts)
    _require_few(count, file)
    for index in range(count):
        name, rest = words[-1], index
        for text, numbers, width in reversed(parts):
            rest, place = divmod(rest, len(numbers))
            name = f"{text}{numbers[place]:0{width}}{name}"
        _require_name(name, file)
        yield name


def _require_few(count: int, file: Path) -> None:
    if count > MOST:
        raise DataError(f"names more than {MOST:,} shards.", file=file, remedy=SLIP)


def _require_name(name: str, file: Path) -> None:
    try:
        if re.search(r"[\x00-\x1f\x7f-\x9f]", name):
            raise ValueError("it has control characters")
        urlsplit(show_address(name))
    except ValueError as error:
        problem = f"names {show_address(name)!r}, which is neither an address nor a path: {error}."
        raise DataError(problem, file=file, remedy="Write it again.") from None


def read_shard(shard: str) -> list[CaptionedImage]:
    """Return the samples of a shard in their order; one without captions has none, one without a picture no place.

    Args:
        shard: its path or its address.

    Raises:
        DataError: for a file that cannot be read or is no tar archive, a compressed one included.
    """
    from vsezoo.data.pictures.picture_file import Place  # imports numpy

    try:
        found = remember("shards", identify(shard), functools.partial(_look_through, shard))
    except OSError as error:
        remedy = "There must be such a file, a server that can be reached, and the right to read it."
        problem = f"cannot be read: {error.strerror or error}."
        raise DataError(problem, file=show_address(shard), remedy=remedy) from None
    except tarfile.TarError as error:
        remedy = "Copy it again, or unpack it if it is compressed: pictures are read from the middle of it."
        problem = f"is not a whole, uncompressed tar archive: {error}."
        raise DataError(problem, file=show_address(shard), remedy=remedy) from None
    return [
        CaptionedImage(key, captions, Place(shard, part[0], part[1], key) if part else None)
        for key, captions, part in found
    ]


def _look_through(shard: str) -> list[tuple[str, list[str], list[int]]]:
    """Return for each sample its name, its captions, and offset and size of its picture in bytes, if it has one."""
    parts: dict[str, list[int]] = {}
    texts: dict[str, list[str]] = {}
    with (
        open_address(shard) if is_address(shard) else Path(shard).open("rb") as stream,
        tarfile.open(fileobj=stream, mode="r:") as archive,
    ):
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
                part = archive.extractfile(member)
                content = part.read() if part else b""
                captions = _read_captions(content, ending.lower(), f"{show_address(shard)} ({member.name})")
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


def _find_split(shard: str) -> str:
    path = PurePosixPath(unquote(urlsplit(shard).path) if is_address(shard) else Path(shard).as_posix())
    for words in (path.parent.name, *re.split(r"[^a-z]+", path.stem.lower())):
        if name_split(words) in SPLITS:
            return name_split(words)
    return ""
