"""WebDataset shards: read in place, found out about once."""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from picture_folders import (
    list_shades,
    make_picture,
    make_sample,
    open_error,
    open_split,
    show,
    write_picture,
    write_shard,
)

from vsezoo.data.pictures.layouts import shards
from vsezoo.data.pictures.splits import draw_all


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VSEZOO_CACHE", str(tmp_path / "cache"))


def test_samples_of_several_shards_and_forms(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    write_shard(folder / "mine-train-0001.tar", make_sample("b", 2, "a cat"))
    members = {
        "000.txt": "a dog, running\r\n\n a  big dog \n",  # one caption on each line
        "000.PNG": make_picture(1),
        "sub/000.json": json.dumps({"caption": "a cow", "width": 3}),
        "sub/000.webp": make_picture(3),
        "003.jpeg": make_picture(4),
        "003.json": json.dumps({"captions": ["one", "two"], "text": "three"}),
        "003.text": "from the text file",
    }
    write_shard(folder / "mine-train-0000.tar", members)
    write_shard(folder / "val" / "0.tar", make_sample("000", 9, "a hen"))
    train = open_split(folder)
    assert show(train) == {
        "000": ["a dog, running", "a big dog"],
        "sub/000": ["a cow"],
        "003": ["from the text file"],
        "b": ["a cat"],
    }
    assert list_shades(train) == [1, 3, 4, 2]
    assert list_shades(open_split(folder, "dev")) == [9]
    assert sorted(path.name for path in folder.rglob("*")) == [
        "0.tar",
        "mine-train-0000.tar",
        "mine-train-0001.tar",
        "val",
    ]


def test_shard_is_looked_through_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = write_shard(tmp_path / "own" / "train.tar", make_sample("a", 1, "a dog"))
    looked, look = [], shards.list_members

    def note(stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
        looked.append(os.fstat(stream.fileno()).st_size)
        return look(stream)

    monkeypatch.setattr(shards, "list_members", note)
    for _ in range(2):
        assert list_shades(open_split(tmp_path / "own")) == [1]
    assert looked == [before := shard.stat().st_size]
    write_shard(shard, {"big.jpg": bytes(20_000)} | make_sample("a", 7, "a cat"))
    assert list_shades(open_split(tmp_path / "own", on_bad_image="skip")) == [7]
    assert looked == [before, shard.stat().st_size]


def test_without_a_split_the_names_of_samples_draw_one(tmp_path: Path) -> None:
    write_shard(
        tmp_path / "own" / "00.tar", make_sample("a.jpg", 1, "x") | make_sample("b", 2, "y") | make_sample("c", 3, "z")
    )
    drawn = {name: split for split in ("train", "dev", "test") for name in _open_names(tmp_path / "own", split)}
    assert drawn == dict(zip("abc", draw_all(["a", "b", "c"]), strict=True))


@pytest.mark.parametrize("shard", ["00.tar", "train.tar"])
def test_names_that_are_not_utf8(shard: str, tmp_path: Path) -> None:
    write_shard(tmp_path / "own" / shard, make_sample("caf\udce91", 1, "x"))  # the byte is an é of Latin-1
    names = [name for split in ("train", "dev", "test") for name in _open_names(tmp_path / "own", split)]
    assert names == ["caf\udce91"]


def _open_names(folder: Path, split: str) -> list[str]:
    found = shards.find_shards(folder, [])
    assert found
    return [image.name for image in found().splits.get(split, [])]


def test_samples_without_a_picture_or_a_caption(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    members = make_sample("a", 1, "a dog") | {
        "b.txt": "no picture",
        "c.jpg": make_picture(3),
        "d.jpg": make_picture(4),
        "d.txt": "\n",
    }
    write_shard(folder / "train.tar", members)
    assert "1 of the 4 pictures of the split train are absent: b" in open_error(folder)
    train = open_split(folder, on_bad_image="skip")
    assert show(train) == {"a": ["a dog"]}
    assert train.skipped == {"b": "is absent", "c": "has no caption", "d": "has no caption"}


def test_damaged_picture_in_a_shard(tmp_path: Path) -> None:
    members = make_sample("a", 1, "a dog") | {"b.jpg": make_picture(2)[:-30], "b.txt": "b", "c.jpg": b"", "c.txt": "c"}
    write_shard(tmp_path / "own" / "train.tar", members)
    assert open_split(tmp_path / "own").skipped == {}
    skipped = open_split(tmp_path / "own", on_bad_image="skip").skipped
    assert list(skipped) == ["b", "c"]
    assert skipped["b"].startswith("cannot be decoded")
    assert skipped["c"] == "is empty (0 bytes)"


def test_what_is_wrong_with_shards(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    first = write_shard(folder / "train-0.tar", make_sample("a", 1, "a dog"))
    second = folder / "train-1.tar"
    write_shard(second, {"b.json": "{"})
    assert "train-1.tar (b.json): is not JSON" in open_error(folder)
    write_shard(second, {"b.txt": b"caf\xe9 au lait"})
    assert "train-1.tar (b.txt): is not UTF-8 text" in open_error(folder)
    write_shard(second, make_sample("b", 1, "a dog"), "w:gz")
    assert f"{second}: is not a complete, uncompressed tar archive" in open_error(folder)
    second.write_bytes(first.read_bytes()[:700])
    assert f"{second}: is not a complete, uncompressed tar archive: unexpected end of data" in open_error(folder)
    second.rename(folder / "1.tar")
    assert f"{folder / '1.tar'}: has no split in its name" in open_error(folder)


def test_key_that_several_shards_use_is_an_id_with_the_shard(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    for shade, name in enumerate(("cc/train-0.tar", "sbu/train-0.tar"), start=1):
        write_shard(folder / name, make_sample("000", shade, name) | make_sample(f"only{shade}", 10 + shade, "x"))
    write_shard(folder / "dev.tar", make_sample("000", 9, "a hen"))
    train = open_split(folder)
    assert show(train) == {
        "cc/train-0/000": ["cc/train-0.tar"],
        "only1": ["x"],
        "sbu/train-0/000": ["sbu/train-0.tar"],
        "only2": ["x"],
    }
    assert list_shades(train) == [1, 11, 2, 12]
    assert list(show(open_split(folder, "dev"))) == ["000"]


def test_folders_of_splits_in_a_shard_decide(tmp_path: Path) -> None:
    members = make_sample("big/train/a", 1, "a") | make_sample("./big/test/b", 2, "b")
    write_shard(tmp_path / "own" / "0.tar", members)
    assert [list(show(open_split(tmp_path / "own", split))) for split in ("train", "test")] == [
        ["big/train/a"],
        ["big/test/b"],
    ]


def test_endings_of_two_parts(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    members = {"a.input.jpg": make_picture(1), "a.outputs.txt": "one", "b.input.jpg": make_picture(2)}
    shard = write_shard(
        folder / "train.tar", members | {"b.outputs.txt": "two", "c.JPG": make_picture(3), "c.txt": "c"}
    )
    train = open_split(folder)
    assert show(train) == {"a": ["one"], "b": ["two"], "c": ["c"]}
    assert list_shades(train) == [1, 2, 3]
    write_shard(shard, members | {"a.target.jpg": make_picture(3)})
    message = open_error(folder)
    assert "has pictures named a.input.jpg, a.target.jpg: a sample's name ends at its first dot" in message
    write_shard(shard, {f"photo.{index}.jpg": make_picture(index) for index in range(6)} | {"photo.txt": "x"})
    assert "none of the suffixes 0.jpg, 1.jpg, 2.jpg, 3.jpg, … is known to mean its pictures" in open_error(folder)


def test_pictures_that_a_shard_has_too_many_are_counted(tmp_path: Path) -> None:
    members = make_sample("a", 1, "a") | {
        "a.png": make_picture(2),
        "a.gif": make_picture(3),
        "b.heic": b"x",
        "b.txt": "b",
    }
    write_shard(tmp_path / "own" / "train.tar", members)
    write_picture(tmp_path / "a.jpg", 7)
    with tarfile.open(tmp_path / "own" / "train.tar", "a") as archive:
        archive.add(tmp_path / "a.jpg", "a.jpg")
    train = open_split(tmp_path / "own", on_bad_image="skip")
    account = train.account
    assert account["left_out"] == {
        "replaced by a later file of the same name in its shard": 1,
        "HEIC, which cannot be decoded here: convert to JPEG or PNG": 1,
        "second picture of the same sample of a shard": 2,
    }
    assert (account["images"], account["used"], account["absent"]) == (5, 1, 1)
