"""Images with any number of captions, told apart by the ids of the captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsezoo.data.precomputed.source import PrecomputedSource
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset


def write(folder: Path, rows: int, captions: list[str], ids: list[str], split: str = "train") -> PrecomputedSource:
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{split}_ims.npy", np.arange(rows, dtype=np.float32)[:, None].repeat(3, axis=1))
    (folder / f"{split}_caps.txt").write_text("".join(f"{line}\n" for line in captions), encoding="utf-8")
    (folder / f"{split}_ids.txt").write_text("".join(f"{line}\n" for line in ids), encoding="utf-8")
    return PrecomputedSource(name=folder.name, summary="", folder=folder)


def read(source: PrecomputedSource, split: str = "train") -> PairDataset:
    return source.open(split, ("vector",))


def test_neighbouring_equal_ids_are_one_image(tmp_path: Path) -> None:
    pairs = read(write(tmp_path, 3, ["a", "b", "c", "d", "e", "f"], ["x", "x", "y", "z", "z", "z"]))
    assert list(pairs.image_ids) == ["x", "y", "z"]
    assert pairs.image_of.tolist() == [0, 0, 1, 2, 2, 2]
    assert pairs.captions == ["a", "b", "c", "d", "e", "f"]
    assert pairs.images([2, 0])[:, 0].tolist() == [2, 0]


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=12))
def test_every_number_of_captions_reads_back(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    image_of = np.repeat(np.arange(len(sizes)), sizes)
    captions = [f"caption {index}" for index in range(len(image_of))]
    folder = tmp_path_factory.mktemp("counts")
    pairs = read(write(folder, len(sizes), captions, [f"i{image}" for image in image_of]))
    assert pairs.image_of.tolist() == image_of.tolist()
    assert pairs.image_of.dtype == np.int64
    assert list(pairs.image_ids) == [f"i{image}" for image in range(len(sizes))]
    assert pairs.captions == captions
    assert pairs.images(range(len(sizes)))[:, 0].tolist() == list(range(len(sizes)))


def test_one_caption_for_each_of_ten_images_is_not_two_images_of_five(tmp_path: Path) -> None:
    pairs = read(write(tmp_path, 10, [f"c{i}" for i in range(10)], [f"i{i}" for i in range(10)]))
    assert pairs.image_of.tolist() == list(range(10))


def test_the_end_of_the_captions_may_be_empty(tmp_path: Path) -> None:
    """The ids say how many there are: two empty captions at the end, and a line too many."""
    pairs = read(write(tmp_path, 2, ["a", "", "b", "", "", ""], ["x", "x", "y", "y", "y"]))
    assert pairs.captions == ["a", "", "b", "", ""]


def test_dev_is_cut_by_images_not_by_captions(tmp_path: Path) -> None:
    sizes = [1, 2] * 501
    ids = [f"i{image}" for image in np.repeat(np.arange(1002), sizes)]
    source = write(tmp_path, 1002, [f"c{i}" for i in range(len(ids))], ids, "dev")
    cut, whole = read(source, "dev"), source.open("dev", ("vector",), OpenOptions(full_dev=True))
    assert (len(cut.image_ids), len(cut.captions), len(cut.image_of)) == (1000, 1500, 1500)
    assert (len(whole.image_ids), len(whole.captions)) == (1002, 1503)


def test_ids_with_another_number_of_runs_than_rows_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path, 3, ["a", "b", "c", "d"], ["x", "x", "y", "y"])
    with pytest.raises(DataError, match=r"3 rows.*4 captions.*2 ids in succession") as caught:
        read(source)
    assert "train_ids.txt with the image id of each caption" in caught.value.remedy


def test_two_captions_for_each_image_and_ids_of_images_alone_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one line per caption"):
        read(write(tmp_path, 2, ["a", "b", "c", "d"], ["x", "y"]))
