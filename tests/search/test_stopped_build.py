"""Builds of index folders that are killed, or meet a full disk: the index is the one before or the new one, whole."""

from __future__ import annotations

import itertools
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import deaths
import processes
import pytest
from colours import register_colours, write_features

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import StorageError
from vsezoo.search import embedding
from vsezoo.search.index import open_index
from vsezoo.search.sources import collect_images
from vsezoo.search.stored.building import build_folder, build_index


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "features.index"


def build_from_features(run: Path, folder: Path, features: Path, limit: int = 0) -> None:
    register_colours()
    if limit:
        embedding.BLOCKS["vector"] = 16
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with pytest.raises(StorageError, match="cannot be written: File too large"):
            build_folder(Checkpoint.open(run), folder, collect_images(features))
        return
    build_folder(Checkpoint.open(run), folder, collect_images(features))


@pytest.mark.process
def test_a_full_disk_leaves_the_index_before(run: Path, folder: Path, tmp_path: Path) -> None:
    small, large = write_features(tmp_path / "small.npy", 20, 0), write_features(tmp_path / "large.npy", 1000, 1)
    build_index(run, folder, images=small)
    before = open_index(run, index=str(folder)).search("red", 20)
    assert processes.finish(processes.start(build_from_features, run, folder, large, 8_000)) == 0
    assert open_index(run, index=str(folder)).search("red", 20) == before
    assert build_index(run, folder, images=large).alive == 1000


def build_until(run: Path, folder: Path, features: Path, moment: int, end: Callable[[], None]) -> None:
    """Build in blocks of 16 rows, and end the so many-th time that something is flushed, renamed or removed."""
    with deaths.doomed(moment, end) as patch:
        patch.setitem(embedding.BLOCKS, "vector", 16)
        build_from_features(run, folder, features)


@pytest.mark.process
@pytest.mark.slow
def test_a_build_that_is_killed_at_any_moment(run: Path, folder: Path, tmp_path: Path) -> None:
    """After each death the index is the one before or the new one, whole; at the end each row is there once."""
    first, second = write_features(tmp_path / "a.npy", 20, 0), write_features(tmp_path / "b.npy", 48, 1)
    before, after = (open_index(run, images=file).search("red green", 48) for file in (first, second))

    def begin() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        build_index(run, folder, images=first)

    def check_end() -> None:
        build_index(run, folder, images=second)
        assert open_index(run, index=str(folder)).search("red green", 48) == after
        suffixes = sorted(file.suffix for file in folder.iterdir() if file.name[0].isdigit())
        assert suffixes == [".ends", ".ids", ".keys", ".vectors"]

    begin()
    for moment in itertools.count(1):  # each life is a moment longer, and goes on with what the one before it left
        try:
            build_until(run, folder, second, moment, deaths.die)
            break
        except deaths.Killed:
            assert open_index(run, index=str(folder)).search("red green", 48) in (before, after)
    assert moment > 8
    check_end()
    for moment in (5, 20):  # with what Linux does to a process; the whole takes some 30 moments
        begin()
        process = processes.start(build_until, run, folder, second, moment, deaths.kill)
        assert processes.finish(process) == -signal.SIGKILL
        assert open_index(run, index=str(folder)).search("red green", 48) in (before, after)
        check_end()
