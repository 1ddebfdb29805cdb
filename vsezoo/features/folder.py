"""The output folder of an extraction: `SPLIT_ims.npy`, `SPLIT_caps.txt`, `SPLIT_ids.txt` and `features.json`.

    features.json               how the features were extracted, and which splits are complete
    SPLIT_ims.npy               exists only when it is complete
    unfinished/SPLIT.I-of-N.*   the part of each process; the one that finishes last joins them

Processes on one machine, or on several with a shared folder, work on separate parts without knowing of each other; a
lock protects the joint files.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.data.caption_file import group_by_image, write_split
from vsezoo.data.precomputed.feature_record import MARK, RECORD, UNFINISHED, by_dotted_names, list_changes
from vsezoo.errors import StorageError, UsageError
from vsezoo.features.part import Part, Record, digest_names, explain, join_parts
from vsezoo.inputs import PairDataset
from vsezoo.storage.atomic_file import flush, write_whole
from vsezoo.storage.checkpoint_layout import to_text
from vsezoo.storage.forms import Anything, Fields, FormError, Integer, ListOf, Mapped, Text
from vsezoo.storage.json_file import read_object, seal
from vsezoo.storage.lock import BusyError, hold_lock

LOCK = ".lock"
ENTRIES = Fields(
    {
        "settings": Mapped(Anything()),
        "versions": Mapped(Text()),
        "splits": Mapped(
            Fields({"shape": ListOf(Integer(), most=4), "captions": Integer(), "skipped": Mapped(Text())}, others=True)
        ),
    },
    others=True,
)
"""The form of `features.json`."""


@dataclass(frozen=True)
class Shard:
    """The share of a process: the `index`-th, counted from 0, of `count`.

    Raises:
        UsageError: for an index outside 0 to count - 1.
    """

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise UsageError(
                f"There is no shard {self.index} of {self.count}.",
                remedy="Shards are counted from 0: 0/4, 1/4, 2/4 and 3/4.",
            )

    def take(self, batches: int) -> slice:
        """Return the consecutive batches of this process; shares differ by at most one batch."""
        return slice(batches * self.index // self.count, batches * (self.index + 1) // self.count)


class FeatureFolder:
    """A folder of features, complete or in progress.

    Args:
        folder: its path; created if needed.
        settings: what the features depend on, as JSON values.
        versions: versions of the libraries, for the record.
        shard: the share of this process.
        resume: continue the work in the folder.

    Raises:
        UsageError: for a folder that exists, or was started with other settings.
        StorageError: when it cannot be written.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], versions: Mapping[str, str], shard: Shard, *, resume: bool
    ) -> None:
        self.folder, self._unfinished, self._shard = folder, folder / UNFINISHED, shard
        with explain(folder):
            taken = folder.exists() and not all(
                item.name[0] == "." or item == self._unfinished for item in folder.iterdir()
            )
        if self._find_config() is None:
            if taken:
                raise UsageError(
                    f"already exists, and has no {RECORD} written by `vsezoo features`.",
                    file=folder,
                    remedy="Choose another --output.",
                )
            with self._lock():
                if self._find_config() is None:
                    self._write_config({"settings": settings, "versions": versions, "splits": {}})
                    return
        config = self._read_config()
        self._require_same(config["settings"], settings)
        begun = config["splits"] or any(self._unfinished.glob(f"*.{shard.index}-of-{shard.count}.json"))
        if begun and not resume:
            raise UsageError(
                "already exists.", file=folder, remedy="Continue it with --resume, or choose another --output."
            )

    def is_whole(self, split: str) -> bool:
        """Return whether the features of a split are complete."""
        return (self.folder / f"{split}_ims.npy").exists()

    def describe(self, split: str) -> dict[str, Any]:
        """Return the entry of a complete split in `features.json`."""
        described: dict[str, Any] = self._read_config()["splits"][split]
        return described

    @contextmanager
    def open_part(
        self, split: str, shape: Sequence[int], dtype: str, names: Sequence[str], batch_size: int
    ) -> Iterator[Part]:
        """Open this process's part of a split, and lock it.

        Args:
            split: its name.
            shape: shape of a row.
            dtype: number type.
            names: names of the pictures in this process's share.
            batch_size: pictures in a batch.

        Raises:
            UsageError: when another process is working on it.
        """
        stem = self._stem(split, self._shard.index)
        with ExitStack() as held:
            with self._lock(), explain(stem):  # so that no other process finds `unfinished` empty and removes it
                self._unfinished.mkdir(exist_ok=True)
                try:
                    held.enter_context(hold_lock(stem.with_name(f"{stem.name}.lock")))
                except BusyError:
                    shard = f"{self._shard.index}/{self._shard.count}"
                    raise UsageError(
                        f"another process is working on shard {shard} of {split!r}.",
                        file=self.folder,
                        remedy="Wait until it has finished, or give each process its own --shard.",
                    ) from None
                part = held.enter_context(closing(Part(stem, shape, dtype, names, batch_size)))
            yield part

    def finish(
        self, split: str, shape: Sequence[int], dtype: str, data: PairDataset, shares: Sequence[Sequence[np.ndarray]]
    ) -> bool:
        """Join the parts of a split if all are complete, and write its captions and ids.

        Args:
            split: its name.
            shape: shape of a row.
            dtype: number type.
            data: the split.
            shares: the batches of each process, as indices of images.

        Returns:
            whether the split is complete; if not, other processes are still working.

        Raises:
            StorageError: when the disk is full, or a part belongs to other pictures.
        """
        images = np.concatenate([batch for share in shares for batch in share])
        with self._lock():
            if self.is_whole(split):
                return True
            stems = [self._stem(split, index) for index in range(self._shard.count)]
            records = [Record.read(stem) for stem in stems]
            if None in records or sum(record.rows for record in records if record) < len(images):
                return False
            for stem, record, share in zip(stems, records, shares, strict=True):
                wanted = digest_names([data.image_ids[image] for batch in share for image in batch])
                if record is None or record.pictures != wanted:
                    raise StorageError(
                        "belongs to pictures other than those in the data set now.",
                        file=stem,
                        remedy="Start again with another --output.",
                    )
            joined = join_parts(stems, shape, dtype)
            chosen, image_of = images.tolist(), data.image_of.tolist()
            names = [data.image_ids[image] for image in chosen]
            captions = group_by_image(data.captions, image_of, chosen)
            languages = group_by_image(data.languages, image_of, chosen) if data.languages else ()
            with explain(self.folder):
                write_split(self.folder / split, names, captions, languages)
            config = self._read_config()
            config["splits"][split] = {
                "shape": [len(images), *shape],
                "captions": sum(map(len, captions)),
                "skipped": dict(data.skipped),
            }
            self._write_config(config)
            with explain(self.folder):
                joined.rename(self.folder / f"{split}_ims.npy")
                flush(self.folder)
            return True

    def clean(self) -> None:
        """Remove the parts of complete splits, and with the last of them the folder of unfinished work."""
        with self._lock():
            for file in self._unfinished.glob("*-of-*"):
                if self.is_whole(file.name.rsplit(".", 2)[0]):
                    file.unlink()
            if not any(self._unfinished.glob("*.json")):
                shutil.rmtree(self._unfinished, ignore_errors=True)
                (self.folder / LOCK).unlink()  # processes that wait for the lock notice

    def _stem(self, split: str, index: int) -> Path:
        return self._unfinished / f"{split}.{index}-of-{self._shard.count}"

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with ExitStack() as held:
            with explain(self.folder):
                self.folder.mkdir(parents=True, exist_ok=True)
                held.enter_context(hold_lock(self.folder / LOCK, wait=True))
            yield

    def _find_config(self) -> dict[str, Any] | None:
        return self._read_config() if (self.folder / RECORD).exists() else None

    def _read_config(self) -> dict[str, Any]:
        file, remedy = self.folder / RECORD, "Choose another --output."
        config = read_object(file, error=UsageError, remedy=remedy)
        if not MARK.items() <= config.items():
            raise UsageError("was not written by this version of `vsezoo features`.", file=file, remedy=remedy)
        try:
            ENTRIES.check(config, "")
        except FormError as error:
            raise UsageError(f"is damaged: {error}.", file=file, remedy=remedy) from error
        return config

    def _write_config(self, config: Mapping[str, Any]) -> None:
        file = self.folder / RECORD
        with explain(file):
            write_whole(file, to_text(seal({**MARK, **config})))

    def _require_same(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        if changes := list_changes(by_dotted_names(before), by_dotted_names(now)):
            raise UsageError(
                f"was started with other settings: {'; '.join(changes)}.",
                file=self.folder,
                remedy="Use the settings of the first run, or choose another --output.",
            )
