"""The engine `ray`: what its actors do, and jobs on a Ray of this machine where it is installed."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import DataError, MissingPackageError, UsageError, VsezooError
from vsezoo.search import cluster
from vsezoo.search.cluster import Embedder, Work, choose_actors, embed_on_cluster
from vsezoo.search.collection import Block, FeatureRows
from vsezoo.search.embedding import BLOCKS, embed_items
from vsezoo.search.engines import embed_with
from vsezoo.search.export import embed
from vsezoo.search.sources import collect_images
from vsezoo.search.stored.building import build_index

ROWS = 3 * cluster.JOB * BLOCKS["vector"] + 100
"""Three whole jobs and a short one."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    tiny.save_model(tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def features(tmp_path: Path) -> Path:
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((ROWS, tiny.WIDTH), np.float32))
    return tmp_path / "a.npy"


@pytest.mark.parametrize(
    ("available", "device", "resources", "count"),
    [
        ({"CPU": 8.0, "GPU": 4.0}, "auto", {"num_gpus": 1}, 4),
        ({"CPU": 8.0, "GPU": 4.0}, "cpu", {"num_cpus": 1}, 8),
        ({"CPU": 8.0}, "auto", {"num_cpus": 1}, 8),
        ({}, "auto", {"num_cpus": 1}, 1),
    ],
)
def test_an_actor_for_each_gpu_or_cpu(
    available: dict[str, float], device: str, resources: dict[str, int], count: int
) -> None:
    form, most = choose_actors(available, device)
    assert (form.resources, most) == (resources, count)


def test_a_device_that_the_cluster_lacks() -> None:
    with pytest.raises(UsageError, match="has no GPU"):
        choose_actors({"CPU": 8.0}, "cuda")
    with pytest.raises(UsageError, match="not on 'mps'"):
        choose_actors({"CPU": 8.0}, "mps")


def answer(run: Path, features: Path, items: Sequence[int], **changed: str) -> Any:
    opened, collection = Checkpoint.open(run), collect_images(features)
    known = {"reference": str(run), "digest": opened.digest, "device": "cpu", "folder": str(Path.cwd()), **changed}
    actor = Embedder(pickle.loads(pickle.dumps(Work(collection=collection, **known))))
    return pickle.loads(actor({"items": [np.asarray(items).tobytes()]})["answer"][0])


def test_an_actor_embeds_as_this_process_does(run: Path, features: Path) -> None:
    items = [*range(1100), 5000]
    model = Checkpoint.open(run).model()
    blocks = list(embed_items(lambda: model, collect_images(features), items))
    for one, other in zip(answer(run, features, items), blocks, strict=True):
        assert (one.items, one.bad) == (other.items, other.bad)
        np.testing.assert_array_equal(one.rows, other.rows)


def test_errors_are_answers(run: Path, features: Path, tmp_path: Path) -> None:
    found = answer(run, features, [0], folder=str(tmp_path / "elsewhere"))
    assert isinstance(found, DataError)
    assert "elsewhere: does not exist on" in str(found)
    assert "is another checkpoint on" in str(answer(run, features, [0], digest="0"))
    rows = np.load(features)
    rows[3] = np.nan
    np.save(features, rows)
    assert "row 3 (counted from 0) contains NaN" in str(answer(run, features, [3]))


def test_without_ray(run: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingPackageError, match=r"pip install 'vsezoo\[engine\]'"):
        embed(run, images=features, output=tmp_path / "out.npy", engine="ray")
    with pytest.raises(UsageError, match="no engine 'spark'"):
        embed_with(Checkpoint.open(run), collect_images(features), engine="spark")
    assert list(embed_on_cluster(Checkpoint.open(run), collect_images(features), [], "cpu")) == []


class Watched(FeatureRows):
    """Features that note what is read of them, and end the process that reads `deadly` for the first time."""

    def __init__(self, path: Path, notes: Path, deadly: int = -1, pause: float = 0) -> None:
        super().__init__(path)
        self.notes, self.deadly, self.pause = notes, deadly, pause

    def read(self, items: Sequence[int]) -> Block:
        time.sleep(self.pause)
        if self.deadly in items and not (self.notes / "died").exists():
            (self.notes / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (self.notes / f"{items[0]}.{time.time_ns()}").touch()
        return super().read(items)

    def count_read(self) -> list[int]:
        """Return the first items of what was read, in order of the items."""
        return sorted(int(note.name.partition(".")[0]) for note in self.notes.glob("*.*"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A cluster of one CPU on this machine."""
    import ray  # takes seconds

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # which the actors cannot import
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112  # on a busy machine they starve
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


on_a_cluster = [
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed"),
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]


class TestCluster:
    """Jobs of Ray: half a minute each, most of it the start of the actors."""

    pytestmark = on_a_cluster

    def test_it_is_the_local_result_though_an_actor_was_killed(
        self, address: str, run: Path, features: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "notes").mkdir()
        collection = Watched(features, tmp_path / "notes", deadly=5 * BLOCKS["vector"])
        opened, items = Checkpoint.open(run), range(ROWS)
        found = list(embed_with(opened, collection, engine="ray")(items))
        assert (tmp_path / "notes" / "died").exists()
        expected = list(embed_with(opened, collect_images(features))(items))
        assert [block.items for block in found] == [block.items for block in expected]
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one.rows, other.rows)

    def test_a_file_and_an_index(self, address: str, run: Path, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_text("a dog\ntwo red balls\nsnow\n", encoding="utf-8")
        embed(run, texts=tmp_path / "a.txt", output=tmp_path / "ray.npy", engine="ray")
        embed(run, texts=tmp_path / "a.txt", output=tmp_path / "local.npy")
        assert (tmp_path / "ray.npy").read_bytes() == (tmp_path / "local.npy").read_bytes()
        assert build_index(run, tmp_path / "b.index", texts=tmp_path / "a.txt", engine="ray").alive == 3

    def test_errors_reach_the_user_as_they_are(self, address: str, run: Path, features: Path, tmp_path: Path) -> None:
        rows = np.load(features)
        rows[3] = np.nan
        np.save(features, rows)
        with pytest.raises(DataError, match=r"row 3 \(counted from 0\) contains NaN"):
            embed(run, images=features, output=tmp_path / "out.npy", engine="ray")

    def test_a_killed_job_goes_on(self, address: str, run: Path, features: Path, tmp_path: Path) -> None:
        (tmp_path / "notes").mkdir()
        process = processes.start(build_slowly, run, tmp_path, address)
        draft = tmp_path / "a.index" / "building.json"
        deadline = time.monotonic() + processes.PATIENCE
        while not draft.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        time.sleep(3)  # until the cluster has ended its actors
        for note in (tmp_path / "notes").iterdir():
            note.unlink()
        build(run, tmp_path, 0)
        again = Watched(features, tmp_path / "notes").count_read()
        assert 0 not in again
        assert len(again) == len(set(again)) < -(-ROWS // BLOCKS["vector"])
        build_index(run, tmp_path / "local.index", images=features)
        assert (tmp_path / "a.index" / "1.vectors").read_bytes() == (
            tmp_path / "local.index" / "1.vectors"
        ).read_bytes()
        assert (tmp_path / "a.index" / "1.ids").read_bytes() == (tmp_path / "local.index" / "1.ids").read_bytes()


def build(run: Path, folder: Path, pause: float) -> None:
    """Build an index of features on the cluster."""
    from vsezoo.search.stored.building import build_folder

    checkpoint, collection = Checkpoint.open(run), Watched(folder / "a.npy", folder / "notes", pause=pause)
    build_folder(checkpoint, folder / "a.index", collection, embed_with(checkpoint, collection, engine="ray"))


def build_slowly(run: Path, folder: Path, address: str) -> None:
    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    os.environ["RAY_ADDRESS"] = address
    build(run, folder, 0.5)


def test_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ray:
        @staticmethod
        def is_initialized() -> bool:
            return False

        @staticmethod
        def init(**options: Any) -> None:
            raise ConnectionError("Could not find any running Ray instance.\nMore.")

    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(VsezooError, match=r"cluster 10\.0\.0\.1:6379 cannot be used: Could not find"):
        cluster.connect(Ray).__enter__()
