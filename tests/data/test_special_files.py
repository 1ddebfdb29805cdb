"""Pipes and devices in the place of files of a data set are one message: nothing waits for them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from vsezoo.conversion.detection_files import TsvFile
from vsezoo.data import caption_file
from vsezoo.data.caption_file import read_lines
from vsezoo.data.lookup import open_data
from vsezoo.data.pictures.listing import read_json
from vsezoo.data.pictures.shard_list import read_list
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.errors import DataError

SPECIAL: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "zero": lambda file: file.symlink_to("/dev/zero"),
    "loop": lambda file: file.symlink_to(file.name),
    "folder": Path.mkdir,
}


@pytest.mark.parametrize("special", SPECIAL)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("train_caps.txt", read_lines),
        ("train_caps.txt.gz", read_lines),
        ("dataset.json", read_json),
        ("shards.txt", read_list),
        ("detections.tsv", TsvFile),
        *((f"train_ims.{ending}", FeatureFile.open) for ending in ("npy", "npz", "safetensors", "pt", "h5", "parquet")),
    ],
)
def test_special_file(name: str, read: Callable[[Path], object], special: str, tmp_path: Path) -> None:
    file = tmp_path / name
    SPECIAL[special](file)
    with pytest.raises(DataError) as caught:
        read(file)
    assert caught.value.file == str(file)


def test_a_data_set_with_a_pipe(tmp_path: Path) -> None:
    folder = tiny.write_data(tmp_path / "own")
    for name in ("train_ims.npy", "train_caps.txt"):
        (folder / name).rename(tmp_path / name)
        os.mkfifo(folder / name)
        with pytest.raises(DataError):
            open_data(f"{folder}/", "train", ("vector",))
        (tmp_path / name).replace(folder / name)


def test_a_compressed_file_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "caps.txt.gz"
    file.write_bytes(gzip.compress(b"a dog\n" * 100))
    assert read_lines(file) == ["a dog"] * 100
    monkeypatch.setattr(caption_file, "LARGEST", 599)
    with pytest.raises(DataError, match="more than 599 bytes when it is decompressed"):
        read_lines(file)


def test_an_empty_file_of_a_detector(tmp_path: Path) -> None:
    (tmp_path / "all.tsv").touch()
    with pytest.raises(DataError, match="contains no images"):
        TsvFile(tmp_path / "all.tsv")
