"""Change an index folder: by one process at a time, and whole or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo import registry
from vsezoo.errors import UsageError
from vsezoo.search.collection import KEY_BYTES, Collection, Sentences
from vsezoo.search.embedding import Embed, EmbeddedBlock
from vsezoo.search.indexes import KeptRows, NearestRows
from vsezoo.search.stored.checksums import sum_file
from vsezoo.search.stored.manifest import DRAFT, OWN, Manifest, list_files, read_draft, write_manifest
from vsezoo.search.stored.table import Table, TableWriter, read_removed
from vsezoo.storage.atomic_file import explain_unwritten, write_whole
from vsezoo.storage.lock import BusyError, hold_lock
from vsezoo.storage.waiting import Advance

LOCK = ".lock"
COPIED = 8192
"""Number of rows that are copied at a time."""


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other processes from changing an index while the block runs; they may search it.

    Raises:
        UsageError: when another process is changing it.
        StorageError: when the folder cannot be written to.
    """
    with explain_unwritten(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            held = ExitStack()
            held.enter_context(hold_lock(folder / LOCK))
        except BusyError:
            raise UsageError(
                "another process is changing this index.", file=folder, remedy="Wait until it has finished."
            ) from None
    try:
        yield
    finally:
        held.close()


class FolderWriter:
    """Changes an index folder, which is locked; see `lock_folder`.

    Args:
        folder: the folder.
        previous: the index as it is; None: there is none.
    """

    def __init__(self, folder: Path, previous: Manifest | None) -> None:
        self.folder, self.previous = folder, previous

    def build(self, collection: Collection, fresh: Manifest, embed: Embed, advance: Advance | None = None) -> Manifest:
        """Replace the index by one of all items of a collection, in their order.

        What an interrupted build has embedded is kept, and what the previous index has is copied if it is still valid.

        Raises:
            UsageError: for an id that is there twice, or a collection without readable items.
            StorageError: when a file cannot be written; the previous index is as it was.
        """
        generation = (self.previous.generation if self.previous else 0) + 1
        draft = dataclasses.replace(fresh, generation=generation, table=str(generation))
        if (begun := read_draft(self.folder)) is not None and _is_same(begun, draft):
            draft = dataclasses.replace(draft, count=begun.count, width=begun.width, checksums=begun.checksums)
        else:
            self._clean()
        wanted = _key_items(collection, self.folder)
        draft = self._append(draft, collection, wanted, self._copy(draft, collection, wanted))
        draft = self._embed(draft, collection, wanted, embed, advance)
        dead = [row for name, (row, key) in self._read(draft) if wanted.get(name) != key]
        return self._commit(draft, dead)

    def add(self, collection: Collection, embed: Embed, advance: Advance | None = None) -> Manifest:
        """Add the items of a collection that are new or have changed, after the others; see `build`.

        Raises:
            UsageError: for an id that is there twice: also if the index has it from a collection elsewhere.
        """
        draft = self._advance()
        wanted = _key_items(collection, self.folder)
        if not collection.place or collection.place != draft.place:
            for name, (_, key) in self._read(draft):
                if wanted.get(name, key) != key:
                    raise UsageError(
                        f"has the id {name!r} already, for another item than {collection.name} has.",
                        file=self.folder,
                        remedy="Give each item an id of its own, or remove it from the index before.",
                    )
        if (begun := read_draft(self.folder)) is not None and _is_same(begun, draft):
            draft = dataclasses.replace(draft, count=begun.count, width=begun.width, checksums=begun.checksums)
        draft = self._embed(draft, collection, wanted, embed, advance)
        dead = [row for name, (row, key) in self._read(draft) if wanted.get(name, key) != key]
        return self._commit(draft, dead)

    def remove(self, ids: Iterable[str], gone: Iterable[str] = ()) -> Manifest:
        """Remove items: those of `ids`, which must be there, and those of `gone` that are.

        Raises:
            UsageError: for an id that is not in the index, or if nothing would be left.
        """
        draft, wanted = self._advance(), set(ids)
        rows = {name: row for name, (row, _) in self._read(draft)}
        if unknown := sorted(wanted - rows.keys()):
            more = f" and {len(unknown) - 1:,} more" if len(unknown) > 1 else ""
            raise UsageError(f"does not contain {unknown[0]!r}{more}.", file=self.folder, remedy="Check the ids.")
        return self._commit(draft, [rows[name] for name in wanted.union(gone) if name in rows])

    def set_state(self, state: Mapping[str, Any], options: Mapping[str, Any]) -> Manifest:
        """Record another state of the backend, such as how much of the index it searches, and other options."""
        changed = dataclasses.replace(self._advance(), state=dict(state), options=dict(options))
        write_manifest(self.folder, changed)
        self.previous = changed
        return changed

    def _advance(self) -> Manifest:
        assert self.previous is not None
        return dataclasses.replace(self.previous, generation=self.previous.generation + 1)

    def _read(self, manifest: Manifest) -> Iterator[tuple[str, tuple[int, bytes]]]:
        """Yield the id, the row number and the key of each row that was not removed."""
        if manifest.count:
            table, removed = Table(self.folder, manifest), set(read_removed(self.folder, manifest).tolist())
            keys = table.keys.tobytes()
            for row, name in enumerate(table.ids):
                if row not in removed:
                    yield name, (row, keys[row * KEY_BYTES : (row + 1) * KEY_BYTES])

    def _copy(self, draft: Manifest, collection: Collection, wanted: Mapping[str, bytes]) -> Iterator[EmbeddedBlock]:
        """Yield the vectors of the previous index that are valid in a draft."""
        old = self.previous
        if old is None or (old.digest, old.kind) != (draft.digest, draft.kind):
            return
        if old.dtype not in ("float32", draft.dtype):
            return
        known = {name: row for name, (row, key) in self._read(old) if wanted.get(name) == key}
        for name, (_, key) in self._read(draft):  # copied before an interruption
            if wanted.get(name) == key:
                known.pop(name, None)
        vectors = Table(self.folder, old).vectors
        kept = [(item, known[name]) for item, name in enumerate(collection.ids) if name in known]
        for start in range(0, len(kept), COPIED):
            items, rows = zip(*kept[start : start + COPIED], strict=True)
            yield EmbeddedBlock(items, vectors[list(rows)].float().numpy(), {})

    def _embed(
        self,
        draft: Manifest,
        collection: Collection,
        wanted: Mapping[str, bytes],
        embed: Embed,
        advance: Advance | None,
    ) -> Manifest:
        """Embed the items that the rows of a draft lack, and append them."""
        known = {name: key for name, (_, key) in self._read(draft)}
        new = [item for item, name in enumerate(collection.ids) if known.get(name) != wanted[name]]
        if not new:
            return draft
        done, total = len(collection.ids) - len(new), len(collection.ids)

        def report(count: int) -> None:
            if advance:
                advance(done + count, total)

        return self._append(draft, collection, wanted, embed(new), report)

    def _append(
        self,
        draft: Manifest,
        collection: Collection,
        wanted: Mapping[str, bytes],
        blocks: Iterator[EmbeddedBlock],
        report: Callable[[int], object] = lambda count: None,
    ) -> Manifest:
        """Append vectors block by block, each of which is kept if the process ends."""
        writer, done = None, 0
        texts = collection.texts if isinstance(collection, Sentences) else None
        try:
            for block in blocks:
                done += len(block.items) + len(block.bad)
                if block.items:
                    if writer is None:
                        draft = dataclasses.replace(draft, width=draft.width or block.rows.shape[1])
                        writer = TableWriter(self.folder, draft)
                    ids = [collection.ids[item] for item in block.items]
                    own = [texts[item] for item in block.items] if texts else []
                    writer.append(block.rows, [wanted[name] for name in ids], ids, own)
                    sums = {**draft.checksums, **writer.list_checksums()}
                    draft = dataclasses.replace(draft, count=draft.count + len(ids), checksums=sums)
                    write_manifest(self.folder, draft, DRAFT)
                report(done)
        finally:
            if writer is not None:
                writer.close()
        return draft

    def _commit(self, draft: Manifest, dead: Sequence[int]) -> Manifest:
        """Bring what the backend keeps up to date, and make a draft the index."""
        removed = np.union1d(read_removed(self.folder, draft), np.asarray(dead, np.int64))
        if draft.count == len(removed):
            raise UsageError("nothing would be left to search.", file=self.folder, remedy="Remove the folder instead.")
        draft = dataclasses.replace(draft, alive=draft.count - len(removed), removed="")
        if len(removed):
            draft = dataclasses.replace(draft, removed=f"{draft.generation}.removed")
            write_whole(self.folder / draft.removed, removed.astype("<i8").tobytes())
        backend: type[NearestRows] = registry.load("indexes", draft.backend)
        if issubclass(backend, KeptRows):
            table = Table(self.folder, draft)
            kept = backend.keep(self.folder, table.as_rows(removed), draft.generation, draft.options, draft.state)
            draft = dataclasses.replace(draft, state=kept)
        draft = dataclasses.replace(draft, checksums=self._complete_sums(draft))
        write_manifest(self.folder, draft)
        self.previous = draft
        self._clean()
        return draft

    def _complete_sums(self, draft: Manifest) -> dict[str, Mapping[str, int]]:
        """Return the checksums of the files that a draft names; other files than those of the table never change."""
        names = draft.list_names()
        with explain_unwritten(self.folder):
            return {name: draft.checksums.get(name) or sum_file(self.folder / name) for name in names}

    def _clean(self) -> None:
        """Remove files of no valid index. Processes that have mapped them can read them for as long as they like."""
        valid = {LOCK}
        if self.previous is not None:
            valid |= {file.name for file in list_files(self.folder, self.previous)}
        for file in self.folder.iterdir():
            if OWN.fullmatch(file.name) and file.name not in valid:
                with suppress(OSError):
                    file.unlink()


def _key_items(collection: Collection, folder: Path) -> dict[str, bytes]:
    """Return the keys of the items by their ids.

    Raises:
        UsageError: for an id that is there twice.
    """
    keys = collection.keys().tobytes()
    found: dict[str, bytes] = {}
    for item, name in enumerate(collection.ids):
        if name in found:
            raise UsageError(
                f"{collection.name} has the id {name!r} twice, and an index needs one item for each id.",
                file=folder,
                remedy="Give each item an id of its own.",
            )
        found[name] = keys[item * KEY_BYTES : (item + 1) * KEY_BYTES]
    return found


def _is_same(begun: Manifest, draft: Manifest) -> bool:
    """Return whether an unfinished change is the one that is to be made."""
    parts = [(one.digest, one.kind, one.dtype, one.table, one.generation) for one in (begun, draft)]
    return parts[0] == parts[1] and begun.count >= draft.count
