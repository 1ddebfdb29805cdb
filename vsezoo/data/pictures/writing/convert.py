"""Convert a data set of pictures to another form: one picture at a time in memory, continued where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vsezoo.data.lookup import find_source
from vsezoo.data.pictures.listing import SPLITS
from vsezoo.data.pictures.pairs import PicturePairs
from vsezoo.data.pictures.writing.forms import FORMS
from vsezoo.data.pictures.writing.samples import Sample, list_samples
from vsezoo.data.source import OpenOptions
from vsezoo.errors import StorageError, UsageError, explain_system, require_name
from vsezoo.storage.atomic_file import flush, write_whole
from vsezoo.storage.json_file import read_object, seal
from vsezoo.storage.leftovers import remove

STATE = ".vsezoo-convert.json"
"""In the output folder until it is complete: what is being written."""

SHARD = 1000


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        folder: the output folder.
        to: the form.
        splits: number of images and captions per split.
        changes: what is read back differently, one sentence each.
        files: number of files, and how many of them were there already.
    """

    folder: Path
    to: str
    splits: Mapping[str, tuple[int, int]]
    changes: Sequence[str]
    files: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        splits = {name: {"images": images, "captions": count} for name, (images, count) in self.splits.items()}
        counts = {"files": self.files[0], "kept": self.files[1]}
        return {"output": str(self.folder), "to": self.to, "splits": splits, "changes": list(self.changes), **counts}


def convert_data(
    data: str,
    folder: Path,
    to: str,
    *,
    root: Path | None = None,
    splits: Sequence[str] = (),
    shard_size: int = SHARD,
    on_bad_image: str = "error",
    resume: bool = False,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Conversion:
    """Write a data set of pictures in another form; ids, captions, splits and the bytes of pictures are kept.

    Args:
        data: a registered data set or a folder.
        folder: the output, new or empty.
        to: one of `FORMS`.
        root: the folder that contains the data set's folder.
        splits: names of the splits to write; empty: all.
        shard_size: pictures in a shard or a Parquet file.
        on_bad_image: "error": stop at a picture that is absent or has no caption. "skip": leave out what is unusable.
        resume: continue in an output folder that is not complete.
        advance: receives the number of pictures written, and their total.

    Raises:
        UsageError: for features, an unknown form or split, or an output folder that is not empty.
        DataError: for data that are absent or damaged.
        StorageError: when a file cannot be written.
    """
    require_name("form", to, FORMS)
    options = OpenOptions(root, full_dev=True, on_bad_image=on_bad_image)
    source = next((one for one in find_source(data).list_sources(options) if "picture" in one.kinds), None)
    if source is None:
        raise UsageError(f"{data!r} has features, not pictures.")
    there = sorted(source.list_splits(options), key=_rank)
    for name in splits:
        require_name("split", name, there)
    samples: list[Sample] = []
    for name in splits or there:
        pairs = source.open(name, ("picture",), options)
        if not isinstance(pairs, PicturePairs):
            raise UsageError(f"The pictures of {data!r} are not in files.")
        samples += list_samples(pairs)
    form = FORMS[to](samples, shard_size, source.name)
    state = {"data": source.name, "to": to, "shard_size": shard_size, "pictures": len(samples)}
    try:
        _begin(folder, state, resume=resume)
        files, kept, done = 0, 0, 0
        for path, content in form.list_units():
            target = folder / path
            files, done = files + 1, done + len(content)
            if target.exists():
                kept += 1
            else:
                _replace(target, partial(form.write, (path, content)))
            advance(done, len(samples))
        for path, text in form.finish().items():
            _replace(folder / path, partial(_write_bytes, text))
        (folder / STATE).unlink()
    except OSError as error:
        reason, remedy = explain_system(error)
        raise StorageError(
            f"cannot be written: {reason}.", file=folder, remedy=f"{remedy} Then use --resume."
        ) from None
    counts = {name: [one for one in samples if one.split == name] for name in splits or there}
    figures = {name: (len(of), sum(len(one.captions) for one in of)) for name, of in counts.items()}
    return Conversion(folder, to, figures, form.list_changes(), (files, kept))


def _begin(folder: Path, state: Mapping[str, Any], *, resume: bool) -> None:
    """Prepare the output folder.

    Raises:
        UsageError: for one that is not empty, or has another conversion.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / STATE
    if file.exists() and not resume:
        raise UsageError("contains an unfinished conversion.", file=folder, remedy="Continue it with --resume.")
    if not file.exists() and any(folder.iterdir()):
        raise UsageError("is not empty.", file=folder, remedy="Give a new folder.")
    if file.exists() and read_object(file, error=UsageError, remedy="Remove the folder, and start again.") != state:
        raise UsageError(
            "contains an unfinished conversion of other data or to another form.",
            file=folder,
            remedy="Repeat its command with --resume, or give a new folder.",
        )
    if not file.exists():
        write_whole(file, json.dumps(seal(state)).encode())


def _write_bytes(content: bytes, file: Path) -> None:
    file.write_bytes(content)


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, and rename it when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        write(part)
        flush(part)
        part.replace(target)
    finally:
        remove(part)


def _rank(split: str) -> tuple[int, str]:
    return SPLITS.index(split) if split in SPLITS else len(SPLITS), split
