"""`--data hf://datasets/org/name`: read in place by ranges, pinned to a commit, without a network from the cache."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hub_environment
import pytest
from hub_repositories import Blob, Repository
from loopback import LoopbackHub
from picture_folders import list_shades, make_picture, make_sample, show, write_shard

from vsezoo.data import lookup
from vsezoo.data.hub_data import find_hub_data
from vsezoo.data.pictures import row_file, rows
from vsezoo.data.pictures.pairs import PicturePairs
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError, HubError, ServerError, UsageError
from vsezoo.storage import addresses

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NAME = "hf://datasets/org/photos"
SHADES = {"train": [1, 2, 3, 4, 5], "validation": [6], "test": [7]}


def make_parquet(shades: list[int]) -> bytes:
    stream = io.BytesIO()
    images = [{"bytes": make_picture(shade) + bytes(20_000), "path": f"{shade}.png"} for shade in shades]
    table = pa.table({"image": images, "caption": [[f"shade {shade}", "again"] for shade in shades]})
    pq.write_table(table, stream, row_group_size=2, compression="none", write_statistics=False)
    return stream.getvalue()


def publish(hub: LoopbackHub, files: dict[str, bytes], branch: str = "main") -> str:
    repository = hub.repositories.setdefault("datasets/org/photos", Repository())
    return repository.commit({name: Blob.of(content, True) for name, content in files.items()}, branch)


@pytest.fixture
def photos(hub: LoopbackHub, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    publish(hub, {f"data/{split}-00000-of-00001.parquet": make_parquet(shades) for split, shades in SHADES.items()})
    monkeypatch.setattr(addresses, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # of the Hub's client between its own attempts
    with hub_environment.client_of(environment):
        forget(monkeypatch)
        yield hub
    find_hub_data.cache_clear()


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin as a new process would."""
    import fsspec
    from huggingface_hub import HfFileSystem

    find_hub_data.cache_clear()
    HfFileSystem.clear_instance_cache()
    fsspec.config.conf.pop("hf", None)
    monkeypatch.setattr(rows, "READER", rows.RowReader())


def read(data: str = NAME, split: str = "train", **options: Any) -> PicturePairs:
    pairs = lookup.open_data(data, split, "picture", OpenOptions(**options))
    assert isinstance(pairs, PicturePairs)
    return pairs


def count_bytes(hub: LoopbackHub) -> int:
    return sum(size for method, path, size in hub.requests if method == "GET" and "/resolve/" in path)


@pytest.mark.slow
def test_a_set_is_read_in_place_and_pinned(photos: LoopbackHub) -> None:
    commit = photos.repositories["datasets/org/photos"].branches["main"]
    train = read()
    assert show(train) == {f"{shade}.png": [f"shade {shade}", "again"] for shade in SHADES["train"]}
    assert list_shades(train) == SHADES["train"]
    assert (train.name, train.account["layout"], train.account["folder"]) == ("photos", "parquet", f"{NAME}@{commit}")
    assert train.account["splits"]["dev"] == {"images": 1, "captions": 2}
    assert lookup.locate(NAME) == f"{NAME}@{commit}"
    assert list_shades(read(split="test")) == [7]


@pytest.mark.slow
def test_only_the_row_groups_that_are_wanted_are_read(photos: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(photos, {"data/train-00000-of-00001.parquet": (whole := make_parquet(list(range(40))))})
    monkeypatch.setattr(row_file, "BLOCK", 2**9)
    find_hub_data.cache_clear()
    train = read(f"{NAME}/data/train-00000-of-00001.parquet")
    before = count_bytes(photos)
    train.images([20, 21])
    assert 0 < count_bytes(photos) - before < len(whole) / 10
    assert before < len(whole) / 4


@pytest.mark.slow
def test_without_a_network_the_cache_is_enough(photos: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in ("train", "dev"):
        list_shades(read(split=split))
    publish(photos, {"data/train-00000-of-00001.parquet": make_parquet([9])})
    for method in ("GET", "HEAD", "POST"):
        photos.fail(rf"{method} ", 503)
    forget(monkeypatch)
    asked = len(photos.requests)
    assert list_shades(read()) == SHADES["train"]
    assert list_shades(read(split="dev")) == [6]
    assert not any("/resolve/" in path for _, path, _ in photos.requests[asked:])
    with pytest.raises(ServerError, match=f"^{NAME}@.* cannot be read"):
        read(split="test").images([0])


@pytest.mark.slow
def test_a_new_commit_is_seen_by_the_next_process_and_a_revision_is_kept(
    photos: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = lookup.locate(NAME)
    publish(photos, {"data/train-00000-of-00001.parquet": make_parquet([9])})
    assert list_shades(read()) == SHADES["train"]
    forget(monkeypatch)
    assert list_shades(read()) == [9]
    assert list_shades(read(pinned)) == SHADES["train"]


@pytest.mark.slow
def test_a_server_that_fails_for_a_moment_is_asked_again(photos: LoopbackHub) -> None:
    for request in (r"GET .*/revision/main", r"GET .*\.parquet", r"POST .*/paths-info/"):
        photos.fail(request, 503, times=1)
    assert list_shades(read()) == SHADES["train"]


@pytest.mark.slow
def test_a_server_that_stops_half_way(photos: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    train = read()
    monkeypatch.setattr(rows, "READER", rows.RowReader())
    fault = photos.fail(r"GET .*train.*\.parquet", cut=True)
    for policy in ("error", "skip"):
        with pytest.raises(ServerError, match="cannot be read"):
            read(on_bad_image=policy).images([4])
    photos.faults.remove(fault)
    assert list_shades(train) == SHADES["train"]  # nothing half was kept


@pytest.mark.slow
def test_shards_and_the_converted_branch(photos: LoopbackHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    photos.repositories["datasets/org/photos"] = Repository()
    shard = write_shard(tmp_path / "a.tar", make_sample("a", 3, "a dog")).read_bytes()
    publish(photos, {"train/0.tar": shard})
    forget(monkeypatch)
    assert list_shades(read()) == [3]
    photos.repositories["datasets/org/photos"] = Repository()
    publish(photos, {"all.zip": b"PK"})
    forget(monkeypatch)
    with pytest.raises(DataError, match=r"has no Parquet files and no shards; it has \.gitattributes, all\.zip"):
        read()
    publish(photos, {"default/train/0000.parquet": make_parquet([4])}, "refs/convert/parquet")
    forget(monkeypatch)
    assert list_shades(read()) == [4]


@pytest.mark.slow
def test_several_sets_in_one_are_told_apart(photos: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> None:
    photos.repositories["datasets/org/photos"] = Repository()
    publish(photos, {f"{language}/train-00000.parquet": make_parquet([len(language)]) for language in ("en", "deu")})
    forget(monkeypatch)
    with pytest.raises(DataError, match="contains several data sets: deu, en") as caught:
        read()
    assert caught.value.remedy == f"Give one of them: {NAME}/deu"
    assert list_shades(read(f"{NAME}/deu")) == [3]


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ("hf://datasets/photos", UsageError, "not the address of a data set"),
        ("hf://datasets/org/none", HubError, "does not exist"),
        (f"{NAME}@none", HubError, "no such revision"),
        (f"{NAME}/none", DataError, "no Parquet files"),
    ],
)
def test_what_is_not_there(photos: LoopbackHub, data: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(data)
