"""The cache of embeddings: only new and changed items of a collection are embedded.

    embeddings/ENTRY/all.safetensors    of one checkpoint and one collection, in the order of the collection
    embeddings/ENTRY/*.part             blocks embedded since, each kept at once; joined at the end

A file contains embeddings, the keys of the items, the errors of unreadable items, and a checksum. Damaged and
incomplete files are ignored. Processes that embed the same collection at the same time need not know of each other: a
file that one removes after joining it stays available to others that have mapped it, and the rest find its contents in
the joined file.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from vsezoo.data.pictures.picture_file import AccessError
from vsezoo.errors import DataError, StorageError
from vsezoo.features.folder import Shard
from vsezoo.search.collection import Array, Collection
from vsezoo.search.embedding import BLOCKS, Embed
from vsezoo.search.stored_rows import PART, Rows, StoredRows, read_stored, write_stored
from vsezoo.storage.atomic_file import explain_unwritten
from vsezoo.storage.cache import find_cache
from vsezoo.storage.waiting import Advance, print_line

TOPIC = "embeddings"
"""The folder in the cache."""
WHOLE = "all.safetensors"
BLOCK = 1024
"""Number of items whose rows are copied at a time."""


@dataclass
class _Known:
    """What an entry has, by item key: rows, and the reasons of unreadable items."""

    rows: Rows = field(default_factory=dict)
    reasons: dict[bytes, str] = field(default_factory=dict)

    def add(self, stored: StoredRows) -> None:
        """Add the contents of a file."""
        self.rows.update(stored.by_key())
        self.reasons.update({bytes(stored.keys[item]): reason for item, reason in stored.reasons.items()})

    def list_missing(self, keys: Array, items: Sequence[int]) -> list[int]:
        """Return those of the items of which nothing is known."""
        return [item for item in items if (key := bytes(keys[item])) not in self.rows and key not in self.reasons]


def list_skipped(collection: Collection, embeddings: StoredRows) -> dict[str, str]:
    """Return the reasons by the ids of skipped items: skipped by the collection, or unreadable."""
    return {**collection.skipped, **{collection.ids[item]: reason for item, reason in embeddings.reasons.items()}}


def open_embeddings(
    collection: Collection,
    computed: str,
    embed: Embed,
    advance: Advance | None = None,
    warn: Callable[[str], None] | None = None,
) -> StoredRows:
    """Return the embeddings of a collection, from the cache as far as possible.

    Args:
        collection: images or sentences.
        computed: `Checkpoint.describe_computation`. With another checkpoint, or other versions of vsezoo, a plugin or
            a library, everything is embedded again.
        embed: embeds items; called with those that are not cached, if there are any.
        advance: progress callback `(done, total)`; not called if everything is cached.
        warn: called with a message if the cache cannot be written, in which case the embeddings are used for this call
            only. None: print it to standard error.

    Raises:
        DataError: see `embed_items`; or when no item can be read.
    """
    keys = collection.keys()
    folder = _find_entry(collection, computed, keys)
    held = read_stored(folder / WHOLE)
    if held is not None and np.array_equal(held.keys, keys) and (collection.skips or not held.reasons):
        _remove_joined(folder, keys)
        return held
    known = _read_known(folder, collection)
    try:
        return _complete(folder, collection, keys, known, embed, advance)
    except StorageError as error:
        (warn or _warn)(f"The embeddings could not be cached: {error.file} {error.problem}")
    with tempfile.TemporaryDirectory() as temporary:  # mapped files outlive their names
        return _complete(Path(temporary), collection, keys, known, embed, advance)


def embed_share(
    collection: Collection, computed: str, embed: Embed, shard: Shard, advance: Advance | None = None
) -> int:
    """Embed the share of one of several processes, whole blocks of the collection, into the cache.

    Args:
        collection: images or sentences.
        computed: as for `open_embeddings`.
        embed: embeds items.
        shard: the share.
        advance: progress callback `(done, total)`, of the share.

    Returns:
        the number of items of the collection that are not in the cache then: those of other shares, and those that
        could not be opened.

    Raises:
        StorageError: when the cache cannot be written.
        DataError: see `embed_items`.
    """
    keys, size = collection.keys(), BLOCKS[collection.kind]
    folder, blocks = _find_entry(collection, computed, keys), shard.take(-(-len(keys) // size))
    share = range(len(keys))[blocks.start * size : blocks.stop * size]
    known = _read_known(folder, collection)
    _embed_new(folder, keys, share, known, embed, advance)
    return len(_read_known(folder, collection).list_missing(keys, range(len(keys))))


def _find_entry(collection: Collection, computed: str, keys: Array) -> Path:
    """Return the folder of a collection."""
    place = collection.place or hashlib.sha256(keys.tobytes()).hexdigest()
    name = json.dumps([computed, collection.kind, place])
    return find_cache() / TOPIC / hashlib.sha256(name.encode()).hexdigest()


def _complete(
    folder: Path,
    collection: Collection,
    keys: Array,
    known: _Known,
    embed: Embed,
    advance: Advance | None,
) -> StoredRows:
    """Embed new items, storing each block; then join all files."""
    bad = _embed_new(folder, keys, range(len(keys)), known, embed, advance)
    reasons = {item: error.problem for item, error in bad.items()}
    reasons |= {item: known.reasons[key] for item in range(len(keys)) if (key := bytes(keys[item])) in known.reasons}
    if len(reasons) == len(keys):
        raise DataError(
            f"none of its {len(keys):,} pictures can be read; the first one {reasons[0]}",
            file=collection.name,
            remedy="Copy the pictures again, or check that you may read them.",
        )
    # Temporary read errors are not stored: the next call tries these items again.
    kept = [item for item in range(len(keys)) if not isinstance(bad.get(item), AccessError)]
    stored = {place: reasons[item] for place, item in enumerate(kept) if item in reasons}
    return StoredRows(_join(folder, keys[kept], known.rows, stored).rows, keys, dict(sorted(reasons.items())))


def _embed_new(
    folder: Path, keys: Array, items: Sequence[int], known: _Known, embed: Embed, advance: Advance | None
) -> dict[int, DataError]:
    """Embed those of some items that are not known, storing each block and adding it; return the errors."""
    new = known.list_missing(keys, items)
    done, bad = len(items) - len(new), dict[int, DataError]()
    for block in embed(new):
        lasting = {item: error.problem for item, error in block.bad.items() if not isinstance(error, AccessError)}
        if numbers := [*block.items, *lasting]:
            reasons = dict(enumerate(lasting.values(), start=len(block.items)))
            part = StoredRows(torch.from_numpy(block.rows), keys[numbers], reasons)
            known.add(part)  # even if it cannot be written
            if (written := read_stored(write_stored(folder, [block.rows], part.keys, reasons))) is not None:
                known.add(written)  # mapped, so that only the rows of one block are in memory
        bad.update(block.bad)
        done += len(block.items) + len(block.bad)
        if advance:
            advance(done, len(items))
    return bad


def _join(folder: Path, keys: Array, known: Rows, reasons: Mapping[int, str]) -> StoredRows:
    """Write one file with everything, unless it exists; it replaces the parts and earlier joined files."""
    good = [known[bytes(key)] for item, key in enumerate(keys) if item not in reasons]
    if _find_joined(folder, keys, reasons) is None:
        blocks = (np.stack(good[start : start + BLOCK]) for start in range(0, len(good), BLOCK))
        file = write_stored(folder, blocks, keys, reasons)
        with explain_unwritten(folder), suppress(FileNotFoundError):  # removed by another process, with the parts
            file.replace(folder / WHOLE)
    with explain_unwritten(folder):
        for part in folder.glob(f"*{PART}"):
            part.unlink(missing_ok=True)
    # If another process has joined other items since, these are kept in memory.
    return _find_joined(folder, keys, reasons) or StoredRows(torch.from_numpy(np.stack(good)), keys, reasons)


def _remove_joined(folder: Path, keys: Array) -> None:
    """Remove the blocks of these items, which could not be removed when they were joined."""
    for part in folder.glob(f"*{PART}"):
        held = read_stored(part)
        if held is not None and set(map(bytes, held.keys)) <= set(map(bytes, keys)):
            with suppress(OSError):
                part.unlink()


def _find_joined(folder: Path, keys: Array, reasons: Mapping[int, str]) -> StoredRows | None:
    """Return the joined file, if it contains these items."""
    held = read_stored(folder / WHOLE)
    return held if held is not None and np.array_equal(held.keys, keys) and held.reasons == reasons else None


def _read_known(folder: Path, collection: Collection) -> _Known:
    """Return the contents of the files of an entry; parts first, since those that disappear have been joined.

    What is wrong with items is left out if it is an error: they are read again.
    """
    known = _Known()
    for file in (*folder.glob(f"*{PART}"), folder / WHOLE):
        if (held := read_stored(file)) is not None:
            known.add(held)
    return known if collection.skips else _Known(known.rows)


def _warn(warning: str) -> None:
    print_line(f"Warning: {warning}")
