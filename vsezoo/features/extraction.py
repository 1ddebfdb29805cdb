"""From pictures to feature files with a backbone: exact after a kill, and shared by any number of processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from vsezoo.backbones import Backbone
from vsezoo.data.caption_file import find_unwritable
from vsezoo.data.pictures.picture_file import SKIP
from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.errors import DataError, VsezooError, list_names
from vsezoo.features.extractor import Array, Extractor, FeatureForm
from vsezoo.features.folder import FeatureFolder, Shard
from vsezoo.features.part import Part
from vsezoo.interfaces import PairDataset
from vsezoo.storage.waiting import AdvanceNamed

BLOCK_SECONDS, BLOCK_BYTES = 10.0, 64 * 2**20
"""A block is written after so much time or so many bytes: this is what a kill costs at most."""

OpenSplit = Callable[[str, OpenOptions], PairDataset]
"""Opens a split of pictures."""

NAMED = 3  # pictures that a message names

DEFAULT_FORM = FeatureForm()


@dataclass(frozen=True)
class SplitSummary:
    """What came out of a split.

    Attributes:
        split: its name.
        whole: whether its features are all there; else other processes are at work on it still.
        done: how many pictures this call went through.
        share: how many pictures are this process's; None where the split was whole before.
        seconds: which that took.
        shape: of the features; empty if they are not whole.
        captions: how many there are.
        skipped: pictures that were left out, and why.
    """

    split: str
    whole: bool
    done: int
    share: int | None
    seconds: float
    shape: Sequence[int] = ()
    captions: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def extract_features(
    open_split: OpenSplit,
    splits: Sequence[str],
    backbone: Backbone,
    output: str | Path,
    *,
    form: FeatureForm = DEFAULT_FORM,
    options: OpenOptions = DEFAULT_OPTIONS,
    workers: int = 1,
    device: torch.device | str = "cpu",
    shard: Shard | None = None,
    resume: bool = False,
    advance: AdvanceNamed = lambda split, done, total: None,
) -> list[SplitSummary]:
    """Write the features of pictures as a folder that `--data` reads.

    Args:
        open_split: opens a split of pictures.
        splits: which.
        backbone: with its weights.
        output: the folder.
        form: what becomes of the features.
        options: how to open a split. The dev split is taken whole; it is cut when the features are read.
        workers: processes that decode pictures; 0: this one does it itself.
        device: where the backbone computes.
        shard: which of several processes this is; None: the only one.
        resume: go on with what is there.
        advance: progress callback: the split, the pictures that this process has done, and those of its share.

    Returns:
        a summary of each split.

    Raises:
        UsageError: for an output that is taken, or was begun with other settings.
        DataError: for pictures that cannot be read, or features that are no numbers.
        StorageError: when the output cannot be written; `resume` goes on later.
    """
    shard, device = shard or Shard(), torch.device(device)
    options = replace(options, full_dev=True)
    extractor = Extractor(backbone.to(device).eval(), form, device, workers)
    settings = {
        "backbone": backbone.describe(),
        **vars(form),
        "use_restval": options.use_restval,
        "shards": shard.count,
    }
    libraries = ("vsezoo", "torch", backbone.name.partition(":")[0])
    folder = FeatureFolder(Path(output), settings, {name: version(name) for name in libraries}, shard, resume=resume)
    # All of them before the first is gone through: what is wrong is told at once, not after hours.
    opened = {split: _open(open_split, split, options) for split in splits if not folder.is_whole(split)}
    return [_summarise(split, opened.get(split), folder, extractor, shard, advance) for split in splits]


def _open(open_split: OpenSplit, split: str, options: OpenOptions) -> PairDataset:
    """Open a split; pictures whose names the id file cannot hold are refused, or skipped like those without a picture.

    Raises:
        DataError: naming them.
    """
    data = open_split(split, options)
    names, total = find_unwritable(data.image_ids), len(data.image_ids)
    if names and (options.on_bad_image == "error" or len(names) == total):
        raise DataError(
            f"the names of {len(names):,} of the {total:,} pictures of the split {split} of {data.name!r} are not "
            f"UTF-8: {list_names(names, NAMED)}.",
            remedy=f"Rename them, {SKIP}.",
        )
    if names:
        data.skipped = {**data.skipped, **dict.fromkeys(names, "has a name that is not UTF-8")}
    return data


def _summarise(
    split: str,
    data: PairDataset | None,
    folder: FeatureFolder,
    extractor: Extractor,
    shard: Shard,
    advance: AdvanceNamed,
) -> SplitSummary:
    """Do this process's share of a split, if it was opened, and say what came out."""
    start, done, share, whole = time.perf_counter(), 0, None, folder.is_whole(split)
    if data is not None and not whole:
        done, share, whole = _extract_split(data, folder, extractor, shard, advance)
    folder.clean()
    seconds = time.perf_counter() - start
    return SplitSummary(split, whole, done, share, seconds, **(folder.describe(split) if whole else {}))


def _extract_split(
    data: PairDataset, folder: FeatureFolder, extractor: Extractor, shard: Shard, advance: AdvanceNamed
) -> tuple[int, int, bool]:
    """Do this process's share of a split; return the pictures done, those of it, and whether the split is whole now."""
    form, shape = extractor.form, extractor.measure()
    images = order_images(data)
    batches = [images[start : start + form.batch_size] for start in range(0, len(images), form.batch_size)]
    shares = [batches[Shard(index, shard.count).take(len(batches))] for index in range(shard.count)]
    share = shares[shard.index]
    names = [data.image_ids[image] for batch in share for image in batch]
    total = len(names)
    with folder.open_part(data.split, shape, form.dtype, names, form.batch_size) as part:
        before = part.record.rows
        advance(data.split, before, total)
        left = share[-(-before // form.batch_size) :]  # blocks are of whole batches, but the last may be a short one
        for done in _fill(part, extractor.extract(data, left)):
            advance(data.split, done, total)
    return total - before, total, folder.finish(data.split, shape, form.dtype, data, shares)


def _fill(part: Part, batches: Iterator[Array]) -> Iterator[int]:
    """Append batches to a part, so many at a time that a kill costs little; yield how many rows there are."""
    waiting: list[Array] = []
    since, done = time.monotonic(), part.record.rows
    try:
        for rows in batches:
            waiting.append(rows)
            done += len(rows)
            if time.monotonic() - since > BLOCK_SECONDS or sum(array.nbytes for array in waiting) > BLOCK_BYTES:
                part.append(waiting)
                waiting, since = [], time.monotonic()
            yield done
    except VsezooError:  # a bad picture, or a server that fails: what came before it counts
        part.append(waiting)
        raise
    part.append(waiting)


def order_images(data: PairDataset) -> np.ndarray:
    """Return the indices of the images in the order of their captions; without captions, of all.

    An image without captions among others with captions has no place in the layout, and is left out, as are those that
    are skipped for their names.
    """
    images = [image for image, _ in groupby(data.image_of.tolist())] if data.captions else range(len(data.image_ids))
    return np.array([image for image in images if data.image_ids[image] not in data.skipped], dtype=np.int64)
