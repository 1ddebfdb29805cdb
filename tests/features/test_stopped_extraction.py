"""Extractions that were killed, and those that several processes share: the files are those of one that was not."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import deaths
import numpy as np
import processes
import pytest
from filelock import FileLock
from made_pictures import SIZES, MadePictures, extract
from PIL import Image
from processes import read_files

from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, StorageError, UsageError
from vsezoo.features import extraction
from vsezoo.features.extractor import FeatureForm
from vsezoo.features.folder import Shard
from vsezoo.storage.json_file import SEAL, seal

FORM = FeatureForm(batch_size=2)
"""Six batches of train, two of dev."""


def extract_until(output: Path, moment: int, shard: Shard, end: Callable[[], None]) -> None:
    """Go on, a block for each batch, until so many times something was made sure on the disk; then end."""
    with deaths.doomed(moment, end) as patch:
        patch.setattr(extraction, "BLOCK_SECONDS", -1.0)
        extract(output, form=FORM, resume=True, shard=shard)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an extraction that was never stopped."""
    output = tmp_path_factory.mktemp("whole") / "out"
    extract(output, form=FORM)
    return read_files(output)


def assert_same(found: dict[str, bytes], whole: dict[str, bytes], shards: int = 1) -> None:
    """The files are equal, bit for bit, but for the number of shards in the record."""
    record = json.loads(whole["features.json"])
    record["settings"]["shards"] = shards
    text = json.dumps(seal({name: record[name] for name in record if name != SEAL}), indent=2, ensure_ascii=False)
    assert found == {**whole, "features.json": f"{text}\n".encode()}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2])
def test_stopped_at_every_moment(tmp_path: Path, whole: dict[str, bytes], count: int) -> None:
    """Each life is a moment longer than the one before it, and goes on with what that one left."""
    lives = 0
    for index in range(count):
        for moment in itertools.count(1):
            lives += 1
            try:
                extract_until(tmp_path / "out", moment, Shard(index, count), deaths.die)
                break
            except deaths.Killed:
                for file in (tmp_path / "out").glob("*_ims.npy"):
                    assert file.read_bytes() == whole[file.name]  # what has its name is whole
    assert lives > 8
    assert_same(read_files(tmp_path / "out"), whole, count)


@pytest.mark.process
def test_killed(tmp_path: Path, whole: dict[str, bytes]) -> None:
    """With what Linux does to a process; the whole takes some 50 moments."""
    process = processes.start(extract_until, tmp_path / "out", 17, Shard(), deaths.kill)
    assert processes.finish(process) == -signal.SIGKILL
    extract(tmp_path / "out", form=FORM, resume=True)
    assert_same(read_files(tmp_path / "out"), whole)


def test_what_was_done_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "BLOCK_SECONDS", -1.0)
    asked: list[int] = []

    class Counted(MadePictures):
        def images(self, indices: Any) -> Any:
            asked.extend(indices)
            return super().images(indices)

    def run(bad: tuple[int, ...], resume: bool) -> Any:
        def opened(split: str, options: Any) -> Counted:
            return Counted(split, SIZES[split], bad)

        return extract(tmp_path / "out", open_split=opened, splits=["train"], form=FORM, resume=resume)

    with pytest.raises(Exception, match=r"train7\.jpg"):
        run((7,), False)
    assert asked == [0, 1, 2, 3, 4, 5, 6, 7]
    asked.clear()
    (summary,) = run((), True)
    assert asked == [6, 7, 8, 9, 10]
    assert summary.done == 5


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 8])
def test_shards_in_any_order_are_one_extraction(tmp_path: Path, whole: dict[str, bytes], count: int) -> None:
    """With eight of six batches, some have nothing to do."""
    order = np.random.default_rng(count).permutation(count).tolist()
    for index in order:
        summaries = extract(tmp_path / "out", form=FORM, shard=Shard(index, count))
        assert [summary.whole for summary in summaries] == [index == order[-1]] * 2
        assert (tmp_path / "out" / "train_ims.npy").exists() == (index == order[-1])
    assert_same(read_files(tmp_path / "out"), whole, count)


def run_shard(output: Path, index: int) -> None:
    extract(output, form=FORM, shard=Shard(index, 2))


@pytest.mark.process
def test_shards_at_the_same_time(tmp_path: Path, whole: dict[str, bytes]) -> None:
    started = [processes.start(run_shard, tmp_path / "out", index) for index in range(2)]
    assert [processes.finish(process) for process in started] == [0] * 2
    assert_same(read_files(tmp_path / "out"), whole, 2)
    assert open_data(str(tmp_path / "out"), "train", ("vector",)).image_shape == (4,)


def test_a_shard_that_ran_already_is_not_run_again(tmp_path: Path) -> None:
    extract(tmp_path / "out", shard=Shard(0, 2))
    with pytest.raises(UsageError, match="already exists"):
        extract(tmp_path / "out", shard=Shard(0, 2))
    assert [summary.done for summary in extract(tmp_path / "out", shard=Shard(0, 2), resume=True)] == [0, 0]


@pytest.mark.parametrize(("index", "count"), [(2, 2), (-1, 2), (0, 0)])
def test_a_shard_that_cannot_be_is_refused(index: int, count: int) -> None:
    with pytest.raises(UsageError, match="There is no shard"):
        Shard(index, count)


def test_two_processes_do_not_write_one_part(tmp_path: Path) -> None:
    extract(tmp_path / "out", shard=Shard(0, 2), splits=["dev"])
    with (
        FileLock(tmp_path / "out" / "unfinished" / "train.0-of-2.lock"),
        pytest.raises(UsageError, match="another process is working on shard 0/2"),
    ):
        extract(tmp_path / "out", shard=Shard(0, 2), resume=True)


class LeftOut(MadePictures):
    """The made pictures without one."""

    def __init__(self, split: str, missing: int) -> None:
        super().__init__(split, SIZES[split])
        kept = self.image_of != missing
        self.captions = [caption for caption, keep in zip(self.captions, kept, strict=True) if keep]
        self.image_of = self.image_of[kept] - (self.image_of[kept] > missing)
        self.numbers = [image for image in range(len(self.image_ids)) if image != missing]
        self.image_ids = [self.image_ids[image] for image in self.numbers]

    def images(self, indices: Sequence[int] | np.ndarray) -> list[Image.Image]:
        return super().images([self.numbers[index] for index in indices])


@pytest.mark.parametrize("shards", [1, 2])
def test_other_pictures_do_not_go_on(tmp_path: Path, shards: int) -> None:
    options: dict[str, Any] = {"shard": Shard(0, shards), "form": FORM, "splits": ["train"]}
    with pytest.raises(DataError, match="cannot be decoded"):
        extract(
            tmp_path / "out", **options, open_split=lambda split, _: MadePictures(split, SIZES[split], bad=(4, 5, 9))
        )
    with pytest.raises(StorageError, match="started with pictures other"):
        extract(tmp_path / "out", **options, resume=True, open_split=lambda split, _: LeftOut(split, 2))


def test_a_bad_picture_can_be_left_out_later(tmp_path: Path) -> None:
    options: dict[str, Any] = {"form": FORM, "splits": ["train"]}
    with pytest.raises(DataError, match=r"train7\.jpg: cannot be decoded"):
        extract(tmp_path / "out", **options, open_split=lambda split, _: MadePictures(split, SIZES[split], bad=(7,)))
    told: list[int] = []
    extract(
        tmp_path / "out",
        **options,
        resume=True,
        options=OpenOptions(on_bad_image="skip"),
        open_split=lambda split, _: LeftOut(split, 7),
        advance=lambda split, done, total: told.append(done),
    )
    assert told[0] == 6  # of the six before the bad one's batch, none is made again
    extract(tmp_path / "whole", **options, open_split=lambda split, _: LeftOut(split, 7))
    for name in ("train_ims.npy", "train_caps.txt", "train_ids.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_parts_of_other_pictures_are_not_joined(tmp_path: Path) -> None:
    options: dict[str, Any] = {"form": FORM, "splits": ["train"]}
    extract(tmp_path / "out", **options, shard=Shard(0, 2))
    with pytest.raises(StorageError, match="belongs to pictures other than those in the data set now"):
        extract(tmp_path / "out", **options, shard=Shard(1, 2), open_split=lambda split, _: LeftOut(split, 1))


def test_a_part_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    extract(tmp_path / "out", shard=Shard(0, 2), form=FORM, splits=["train"])
    os.truncate(tmp_path / "out" / "unfinished" / "train.0-of-2.npy", 140)
    with pytest.raises(StorageError, match="shorter than its record says"):
        extract(tmp_path / "out", shard=Shard(0, 2), form=FORM, resume=True)


@pytest.mark.slow
def test_a_full_disk_costs_nothing_that_was_done(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "BLOCK_SECONDS", -1.0)
    flush, left = os.fsync, 11

    def fill_up(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_up)
        with pytest.raises(StorageError, match="No space left on device") as caught:
            extract(tmp_path / "out", form=FORM)
    assert "--resume" in caught.value.remedy
    assert extract(tmp_path / "out", form=FORM, resume=True)[0].done < 11
    assert read_files(tmp_path / "out") == whole
