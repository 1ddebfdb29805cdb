"""WebDataset: tar archives ("shards") in which files with the same name and different suffixes form a sample.

A shard is scanned once; after that, pictures are read from their offsets in any order, without unpacking. The index is
cached as long as the shard keeps its size and time. Shards that `shards.txt` lists by URL are read in the same way over
the network, and need no disk space.
"""

from __future__ import annotations

import functools
import json
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from vsezoo.data.pictures.cells import find_captions, find_languages
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.data.pictures.shard_list import LIST, read_list
from vsezoo.data.pictures.splits import assign_splits, normalise_path
from vsezoo.data.pictures.tar_members import MemberError, list_members, read_text, require_plain
from vsezoo.data.pictures.walk import CONVERT, ENDINGS, UNDECODABLE
from vsezoo.errors import DataError, list_names
from vsezoo.storage.addresses import is_address, open_address, show_address
from vsezoo.storage.cache import identify, remember
from vsezoo.storage.plain_file import open_plain
from vsezoo.storage.waiting import report_done

ID_FIELD = "vsezoo_id"
"""In the JSON of a sample, its id; else the key is."""
FORM = "A sample is a picture (jpg, png, webp) and its captions (txt with one per line, or json)."
TEXTS = ("txt", "caption", "text", "json")
"""Suffixes of captions, the first choice first."""
ROW_FILES = (".parquet", ".arrow")  # which another layout reads
BY_SHARD = "given by the folder or the name of each shard"
REPLACED = "replaced by a later file of the same name in its shard"
ANOTHER = "second picture of the same sample of a shard"
READERS = 8  # shards scanned at the same time: the time is spent waiting for a disk or a server


def find_shards(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `*.tar`, in the folder or in folders named after splits, and for `shards.txt`, which lists others.

    The split of a shard is its folder, or a word of its name: `train/00.tar`, `flickr-train-00.tar`.
    """
    shards = [str(file) for file in sorted([*folder.glob("*.tar"), *folder.glob("*/*.tar")])]
    if LIST in names:
        listed = read_list(folder / LIST)
        if all(urlsplit(file).path.endswith(ROW_FILES) for file in listed):
            return None
        shards += listed
    return functools.partial(_read, folder, shards) if shards else None


def _read(folder: Path, shards: Sequence[str]) -> Listing:
    named = {shard: _find_split(shard) for shard in shards}
    unnamed = [shard for shard, split in named.items() if not split]
    if unnamed and len(unnamed) < len(named):
        remedy = f"Put each shard into a folder, or prefix its name, with one of {', '.join(SPLITS[:3])}."
        raise DataError("has no split in its name, but other shards do.", file=show_address(unnamed[0]), remedy=remedy)
    with ThreadPool(READERS) as pool:  # its threads do not keep the process alive after Ctrl-C
        found = report_done(pool.imap(read_shard, named), len(named), "shards scanned")
        contents = dict(zip(named, found, strict=True))
    rule, of_key = BY_SHARD, dict[str, str]()
    if unnamed:
        keys = [image.name for content in contents.values() for image in content.images]
        assigned = assign_splits({key: key for key in keys}, folder)
        rule, of_key = assigned.rule, dict(assigned.splits)
    splits: dict[str, list[tuple[str, CaptionedImage]]] = {}
    for shard, content in contents.items():
        for image in content.images:
            splits.setdefault(named[shard] or of_key[image.name], []).append((shard, image))
    listing = {split: _name(folder, images) for split, images in splits.items()}
    remedy = "" if not unnamed else f"No shard is named after a split, so the names of the samples decide. {FORM}"
    left_out = Counter[str]()
    for content in contents.values():
        left_out.update(content.left_out)
    bad = [error for content in contents.values() for error in content.bad]
    return Listing(folder, folder, listing, remedy, rule, left_out=dict(left_out), bad=bad)


def _name(folder: Path, samples: Sequence[tuple[str, CaptionedImage]]) -> list[CaptionedImage]:
    """Return the samples of a split; if a key occurs in several shards, the id consists of shard and key.

    Raises:
        DataError: for ids that are still not unique.
    """
    counts = Counter(image.name for _, image in samples)
    first: dict[str, str] = {}
    for shard, image in samples:
        if counts[image.name] > 1:
            image.name = f"{_label(folder, shard)}/{image.name}"
        if image.name in first:
            raise DataError(
                f"has a sample {image.name!r}, and so has {show_address(first[image.name])}.",
                file=show_address(shard),
                remedy="Give each sample of a split a unique name.",
            )
        first[image.name] = shard
    return [image for _, image in samples]


def _label(folder: Path, shard: str) -> str:
    """Return the path of a shard without its suffix: relative to the folder, or the whole path on its server."""
    if is_address(shard):
        return unquote(urlsplit(shard).path).strip("/").removesuffix(".tar")
    return normalise_path(Path(shard).absolute().as_posix(), folder).removesuffix(".tar")


class Shard(NamedTuple):
    """The index of a shard.

    Attributes:
        images: samples in file order; without captions the list is empty, without a picture the place is None.
        left_out: number of unused pictures by reason.
        bad: errors of texts that cannot be read; their samples have no captions.
    """

    images: list[CaptionedImage]
    left_out: Mapping[str, int]
    bad: Sequence[DataError] = ()


def read_shard(shard: str) -> Shard:
    """Scan a shard.

    Args:
        shard: its path or URL.

    Raises:
        DataError: for a file that cannot be read or is not an uncompressed tar archive.
    """
    from vsezoo.data.pictures.picture_file import Place  # imports numpy

    try:
        found = remember("samples", identify(shard), functools.partial(_look_through, shard))
    except OSError as error:
        remedy = "Check that the file exists, that the server can be reached, and that you may read it."
        problem = f"cannot be read: {error.strerror or error}."
        raise DataError(problem, file=show_address(shard), remedy=remedy) from None
    except MemberError as error:
        remedy = "Remove it from the shard, or write the shard again without holes in files."
        raise DataError(f"{error}.", file=f"{show_address(shard)} ({error.member})", remedy=remedy) from None
    except tarfile.TarError as error:
        remedy = "Copy it again, or decompress it: pictures are read at their offsets."
        problem = f"is not a complete, uncompressed tar archive: {error}."
        raise DataError(problem, file=show_address(shard), remedy=remedy) from None
    languages = found.get("languages", {})  # which JSON names; there may be another number of captions in the text
    images = []
    for key, captions, part in found["samples"]:
        own = languages.get(key, [])
        place = Place(shard, part[0], part[1], key) if part else None
        images.append(CaptionedImage(key, captions, place, own if len(own) == len(captions) else []))
    bad = [
        DataError(problem, file=file, remedy=f"Write the shard again. {FORM}") for problem, file in found.get("bad", ())
    ]
    return Shard(images, found["left_out"], bad)


def _look_through(shard: str) -> dict[str, Any]:
    """Look through a shard.

    Returns:
        `samples` (name, captions, offset and size of the picture in bytes), `languages` of captions by the names of
        samples, `left_out`, `bad` (problem, file).
    """
    parts: dict[str, dict[str, list[int]]] = {}
    texts: dict[str, dict[str, list[str]]] = {}
    left_out, ids, bad = Counter[str](), dict[str, str](), list[tuple[str, str]]()
    languages: dict[str, list[str]] = {}
    with open_address(shard) if is_address(shard) else open_plain(Path(shard)) as stream:
        for member in list_members(stream):
            path = PurePosixPath(member.name)
            stem, _, ending = path.name.partition(".")
            if not stem:
                continue
            key, ending = str(path.with_name(stem)), ending.lower()
            pictures, captions = parts.setdefault(key, {}), texts.setdefault(key, {})
            form = ending.rpartition(".")[2]
            if f".{form}" in ENDINGS:
                require_plain(member)
                left_out[REPLACED] += ending in pictures
                pictures[ending] = [member.offset_data, member.size]
            elif f".{form}" in UNDECODABLE:
                left_out[f"{UNDECODABLE[f'.{form}']}, which cannot be decoded here: {CONVERT}"] += 1
            elif form in TEXTS:
                try:
                    value = _parse(read_text(stream, member), form)
                    captions[ending] = find_captions(value)
                    if of_captions := find_languages(value, captions[ending]):
                        languages[key] = of_captions
                except ValueError as error:
                    bad.append((f"{error}.", f"{show_address(shard)} ({member.name})"))
                    continue
                if own := _find_id(value):
                    ids[key] = own
    name = show_address(shard)
    part_of = _choose(parts, [ending[1:] for ending in ENDINGS], "pictures", name)
    text_of = _choose(texts, TEXTS, "captions", name)
    left_out[ANOTHER] += sum(len(pictures) > 1 and len(pictures) - 1 for pictures in parts.values())
    samples = [
        (ids.get(key, key), texts[key].get(text_of[key], []), pictures.get(part_of[key], []))
        for key, pictures in parts.items()
    ]
    kept = {reason: count for reason, count in left_out.items() if count}
    named = {ids.get(key, key): of_sample for key, of_sample in languages.items()}
    return {"samples": samples, "languages": named, "left_out": kept, "bad": bad}


def _choose(found: Mapping[str, Mapping[str, Any]], plain: Sequence[str], what: str, shard: str) -> dict[str, str]:
    """Return the suffix of the picture or captions of each sample: `jpg`, or `input.jpg` if all samples have that one.

    Raises:
        DataError: for samples with several two-part suffixes, none of which is known.
    """
    dotted = {ending for endings in found.values() for ending in endings if "." in ending}
    chosen = {}
    for key, endings in found.items():
        of_sample = [ending for ending in plain if ending in endings]
        if not of_sample and endings and len(dotted) > 1:
            raise DataError(
                f"has {what} named {list_names([f'{key}.{one}' for one in sorted(endings)], 3)}: a sample's "
                f"name ends at its first dot; none of the suffixes {list_names(sorted(dotted), 4)} is known to mean "
                f"its {what}.",
                file=shard,
                remedy=f"Write the shard again with names such as {key}.jpg and {key}.txt.",
            )
        chosen[key] = next(iter([*of_sample, *endings]), "")
    return chosen


def _parse(content: bytes, form: str) -> Any:
    """Return the lines of a text, or the value of JSON.

    Raises:
        ValueError: for another content, with the reason.
    """
    try:
        text = content.decode("utf-8-sig")
        return json.loads(text) if form == "json" else text.splitlines()
    except (ValueError, RecursionError) as error:
        noun = "JSON" if form == "json" else "UTF-8 text"
        raise ValueError(f"is not {noun}: {error}") from None


def _find_id(value: Any) -> str:
    """Return the id in the JSON of a sample, as `vsezoo data convert` writes it; empty if there is none."""
    named = value.get(ID_FIELD) if isinstance(value, dict) else None
    return named if isinstance(named, str) else ""


def _find_split(shard: str) -> str:
    path = PurePosixPath(unquote(urlsplit(shard).path) if is_address(shard) else Path(shard).as_posix())
    for words in (path.parent.name, *re.split(r"[^a-z]+", path.stem.lower())):
        if name_split(words) in SPLITS:
            return name_split(words)
    return ""
