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
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vsezoo.data.pictures.picture_file import AccessError
from vsezoo.errors import DataError, StorageError
from vsezoo.search.array_writers import TensorWriter
from vsezoo.search.collection import KEY_BYTES, Array, Collection
from vsezoo.search.embedding import Embed
from vsezoo.storage.atomic_file import explain_unwritten
from vsezoo.storage.cache import find_cache
from vsezoo.storage.forms import Mapped, Text
from vsezoo.storage.json_file import parse_strictly
from vsezoo.storage.plain_file import require_plain
from vsezoo.storage.waiting import Advance

TOPIC = "embeddings"
"""The folder in the cache."""
WHOLE, PART = "all.safetensors", ".part"
CONTENT = ("rows", "keys", "reasons")
"""The tensors of a file, followed by their checksum."""
REASONS = Mapped(Text())
BLOCK = 1024
"""Number of items whose rows are copied at a time."""

Rows = dict[bytes, Array]
"""Embeddings `(D,)` by item key."""


@dataclass(frozen=True)
class StoredRows:
    """The stored results for the items of a collection.

    Attributes:
        rows: `(n, D)` float32, the joint embeddings of the items that could be read; mapped, not read.
        keys: `(N, 16)` uint8, keys of all items.
        reasons: errors by the indices of unreadable items.
    """

    rows: Tensor
    keys: Array
    reasons: Mapping[int, str]

    @property
    def items(self) -> Array:
        """The item of each row, `(n,)`."""
        return np.delete(np.arange(len(self.keys)), list(self.reasons))

    def by_key(self) -> Rows:
        """Return the rows by item key."""
        return dict(zip(map(bytes, self.keys[self.items]), self.rows.numpy(), strict=True))


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
    name = [
        computed,
        collection.kind,
        collection.place or hashlib.sha256(keys.tobytes()).hexdigest(),
    ]
    folder = find_cache() / TOPIC / hashlib.sha256(json.dumps(name).encode()).hexdigest()
    held = _read(folder / WHOLE)
    if held is not None and np.array_equal(held.keys, keys) and (collection.skips or not held.reasons):
        return held
    known = _read_rows(folder)
    try:
        return _complete(folder, collection, keys, known, embed, advance)
    except StorageError as error:
        (warn or _print)(f"The embeddings could not be cached: {error.file} {error.problem}")
    with tempfile.TemporaryDirectory() as temporary:  # mapped files outlive their names
        return _complete(Path(temporary), collection, keys, known, embed, advance)


def _complete(
    folder: Path,
    collection: Collection,
    keys: Array,
    known: Rows,
    embed: Embed,
    advance: Advance | None,
) -> StoredRows:
    """Embed new items, storing each block and adding it to the known embeddings; then join all files."""
    new = [item for item, key in enumerate(keys) if bytes(key) not in known]
    done, bad = len(keys) - len(new), dict[int, DataError]()
    for block in embed(new):
        if block.items:
            part = StoredRows(torch.from_numpy(block.rows), keys[block.items], {})
            known.update(part.by_key())  # even if they cannot be written
            if (written := _read(_write(folder, [block.rows], part.keys, {}))) is not None:
                known.update(written.by_key())  # mapped, so that only the rows of one block are in memory
        bad.update(block.bad)
        done += len(block.items) + len(block.bad)
        if advance:
            advance(done, len(keys))
    if len(bad) == len(keys):
        raise DataError(
            f"none of its {len(keys):,} pictures can be read; the first one {next(iter(bad.values())).problem}",
            file=collection.name,
            remedy="Copy the pictures again, or check that you may read them.",
        )
    # Temporary read errors are not stored: the next call tries these items again.
    kept = [item for item in range(len(keys)) if not isinstance(bad.get(item), AccessError)]
    reasons = {place: bad[item].problem for place, item in enumerate(kept) if item in bad}
    joined = _join(folder, keys[kept], known, reasons)
    return StoredRows(joined.rows, keys, {item: error.problem for item, error in bad.items()})


def _join(folder: Path, keys: Array, known: Rows, reasons: Mapping[int, str]) -> StoredRows:
    """Write one file with everything, unless it exists; it replaces the parts and earlier joined files."""
    good = [known[bytes(key)] for item, key in enumerate(keys) if item not in reasons]
    if _find_joined(folder, keys, reasons) is None:
        blocks = (np.stack(good[start : start + BLOCK]) for start in range(0, len(good), BLOCK))
        file = _write(folder, blocks, keys, reasons)
        with explain_unwritten(folder), suppress(FileNotFoundError):  # removed by another process, with the parts
            file.replace(folder / WHOLE)
    with explain_unwritten(folder):
        for part in folder.glob(f"*{PART}"):
            part.unlink(missing_ok=True)
    # If another process has joined other items since, these are kept in memory.
    return _find_joined(folder, keys, reasons) or StoredRows(torch.from_numpy(np.stack(good)), keys, reasons)


def _find_joined(folder: Path, keys: Array, reasons: Mapping[int, str]) -> StoredRows | None:
    """Return the joined file, if it contains these items."""
    held = _read(folder / WHOLE)
    return held if held is not None and np.array_equal(held.keys, keys) and held.reasons == reasons else None


def _read_rows(folder: Path) -> Rows:
    """Return the contents of the files of an entry; parts first, since those that disappear have been joined."""
    known: Rows = {}
    for file in (*folder.glob(f"*{PART}"), folder / WHOLE):
        if (held := _read(file)) is not None:
            known.update(held.by_key())
    return known


def _read(file: Path) -> StoredRows | None:
    """Return the contents of a file; None if it is absent or damaged.

    It is opened more than once. If another process removes it in between, it counts as absent; if another process
    replaces it, the new file is read.
    """
    while (found := _find(file)) is not None:
        held = _read_sound(file)
        if held is not None or _find(file) == found:
            return held
    return None


def _find(file: Path) -> int | None:
    """Return a number that changes when the file is replaced; None if it does not exist, or opening it would wait."""
    try:
        status = file.stat()
        require_plain(status, file)
    except OSError:
        return None
    return status.st_ino


def _read_sound(file: Path) -> StoredRows | None:
    try:
        with safe_open(file, "pt") as tensor_file:  # mappings keep no file open, and open files are limited
            tensors = {name: tensor_file.get_tensor(name) for name in (*CONTENT, "checksum")}
    except (OSError, RuntimeError, SafetensorError):  # torch raises RuntimeError if the file has disappeared
        return None
    checksum = 0
    for name in CONTENT:
        checksum = zlib.crc32(tensors[name].numpy().data.cast("B"), checksum)
    if tensors["checksum"].numpy().tobytes() != checksum.to_bytes(4, "little"):
        return None
    rows, keys = tensors["rows"], tensors["keys"].numpy()
    try:
        value = parse_strictly(tensors["reasons"].numpy().tobytes())
        REASONS.check(value, "reasons")
        reasons = {int(item): reason for item, reason in value.items()}
    except ValueError:
        return None
    sound = rows.dtype == torch.float32 and rows.ndim == 2 and keys.dtype == np.uint8 and keys.shape[1:] == (KEY_BYTES,)
    if not sound or len(rows) + len(reasons) != len(keys) or not all(0 <= item < len(keys) for item in reasons):
        return None
    return StoredRows(rows, keys, reasons)


def _write(folder: Path, blocks: Iterable[Array], keys: Array, reasons: Mapping[int, str]) -> Path:
    """Write a part, and return its path."""
    with explain_unwritten(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=PART, delete=False) as stream:
            try:
                file = TensorWriter(folder, stream)
                for block in blocks:
                    file.append("rows", block)
                file.append("keys", keys)
                file.append("reasons", np.frombuffer(json.dumps(reasons).encode(), np.uint8))
                file.append("checksum", np.frombuffer(file.checksum.to_bytes(4, "little"), np.uint8))
                file.finish()
                stream.flush()
            except BaseException:
                Path(stream.name).unlink(missing_ok=True)  # it may fill the disk
                raise
            return Path(stream.name)


def _print(warning: str) -> None:
    print(f"Warning: {warning}", file=sys.stderr)
