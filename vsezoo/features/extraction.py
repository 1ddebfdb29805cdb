"""Extract features of pictures with a backbone: exact after a kill, and shared by any number of processes."""

from __future__ import annotations

import math
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
from vsezoo.errors import DataError, VsezooError, list_names, report_system_errors
from vsezoo.features.extractor import Array, Extractor, FeatureForm
from vsezoo.features.folder import FeatureFolder, Shard
from vsezoo.features.image_tower import ImageTower
from vsezoo.features.part import Part
from vsezoo.inputs import PairDataset
from vsezoo.storage.waiting import AdvanceNamed

BLOCK_SECONDS, BLOCK_BYTES = 10.0, 64 * 2**20
"""A block is written after so many seconds or bytes: the most that a kill can cost."""

OpenSplit = Callable[[str, OpenOptions], PairDataset]
"""Opens a split of pictures."""

NAMED = 3  # most pictures that a message names

DEFAULT_FORM = FeatureForm()


@dataclass(frozen=True)
class SplitSummary:
    """The result of a split.

    Attributes:
        split: its name.
        whole: whether its features are complete; if not, other processes are still working on it.
        done: number of pictures processed by this call.
        share: number of pictures in this process's share; None if the split was complete before.
        seconds: duration.
        shape: shape of the features; empty if they are not complete.
        captions: number of captions.
        skipped: reasons by the ids of skipped pictures.
    """

    split: str
    whole: bool
    done: int
    share: int | None
    seconds: float
    shape: Sequence[int] = ()
    captions: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


@report_system_errors
def extract_features(
    open_split: OpenSplit,
    splits: Sequence[str],
    backbone: Backbone | ImageTower,
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
    """Write the features of pictures to a folder that `--data` reads.

    Args:
        open_split: opens a split of pictures.
        splits: names of the splits.
        backbone: with its weights loaded; or the image tower of a model.
        output: the output folder.
        form: form of the written features.
        options: how to open a split. The whole dev split is used; it is cut when the features are read.
        workers: processes that decode pictures; 0: decode in this process.
        device: device of the backbone.
        shard: the share of this process; None: everything.
        resume: continue the work in the output folder.
        advance: progress callback `(split, done, total)`, counting the pictures in this process's share.

    Returns:
        a summary of each split.

    Raises:
        UsageError: for an output that exists, or was started with other settings.
        DataError: for pictures that cannot be read, or features that are not finite.
        StorageError: when the output cannot be written; `resume` continues later.
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
    libraries = ("vsezoo", "torch", *backbone.libraries)
    folder = FeatureFolder(Path(output), settings, {name: version(name) for name in libraries}, shard, resume=resume)
    # Open all splits before processing the first one, so that problems are reported at once, not after hours.
    opened = {split: _open(open_split, split, options) for split in splits if not folder.is_whole(split)}
    return [_summarise(split, opened.get(split), folder, extractor, shard, advance) for split in splits]


def _open(open_split: OpenSplit, split: str, options: OpenOptions) -> PairDataset:
    """Open a split; pictures whose names cannot be stored in the id file are refused, or skipped like unreadable ones.

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
    """Process this process's share of a split, if it was opened, and return the result."""
    start, done, share, whole = time.perf_counter(), 0, None, folder.is_whole(split)
    if data is not None and not whole:
        done, share, whole = _extract_split(data, folder, extractor, shard, advance)
    folder.clean()
    seconds = time.perf_counter() - start
    return SplitSummary(split, whole, done, share, seconds, **(folder.describe(split) if whole else {}))


def _extract_split(
    data: PairDataset, folder: FeatureFolder, extractor: Extractor, shard: Shard, advance: AdvanceNamed
) -> tuple[int, int, bool]:
    """Process the share of a split; return pictures done, pictures in the share, and whether the split is complete."""
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
        # blocks consist of whole batches; only the last one may be shorter
        left = share[math.ceil(before / form.batch_size) :]
        for done in _fill(part, extractor.extract(data, left)):
            advance(data.split, done, total)
    return total - before, total, folder.finish(data.split, shape, form.dtype, data, shares)


def _fill(part: Part, batches: Iterator[Array]) -> Iterator[int]:
    """Append batches to a part in blocks; yield the number of rows after each batch."""
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
    except VsezooError:  # a bad picture or a failing server: keep the rows before it
        part.append(waiting)
        raise
    part.append(waiting)


def order_images(data: PairDataset) -> np.ndarray:
    """Return the indices of the images in the order of their captions; without captions, of all images.

    If other images have captions, an image without them has no place in the layout and is left out, as are images that
    are skipped because of their names.
    """
    images = [image for image, _ in groupby(data.image_of.tolist())] if data.captions else range(len(data.image_ids))
    return np.array([image for image in images if data.image_ids[image] not in data.skipped], dtype=np.int64)
