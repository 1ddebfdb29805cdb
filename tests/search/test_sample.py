"""What a service needs of an index: whether it has an item, and a look at all of it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from colours import paint_folder, save_colour_model

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.search.index import Index, open_index
from vsezoo.search.stored.building import build_index, remove_from_folder


def open_rows(tmp_path: Path, count: int) -> Index:
    save_colour_model(tmp_path / "run")
    np.save(tmp_path / "test_ims.npy", np.eye(count, 3, dtype=np.float32))
    return open_index(tmp_path / "run", images=tmp_path / "test_ims.npy")


def test_a_sample_is_spread_over_the_collection(tmp_path: Path) -> None:
    index = open_rows(tmp_path, 11)
    assert index.sample(3) == [0, 5, 10]
    assert index.sample(1) == [0]
    assert index.sample(100) == list(range(11))
    assert [item for item in (-1, 0, 10, 11, 10**30) if index.has(item)] == [0, 10]


def test_skipped_items_are_not_there(tmp_path: Path) -> None:
    save_colour_model(tmp_path / "run")
    photos = paint_folder(tmp_path / "photos")
    (photos / "b-green.png").write_bytes(b"no picture")
    index = open_index(tmp_path / "run", images=photos)
    assert index.sample(10) == [0, 2]
    assert [index.has(item) for item in range(3)] == [True, False, True]
    assert index.read_vectors([2, 0]).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_removed_items_are_not_there(tmp_path: Path) -> None:
    save_colour_model(tmp_path / "run")
    build_index(tmp_path / "run", tmp_path / "index", images=paint_folder(tmp_path / "photos"))
    remove_from_folder(tmp_path / "index", ["b-green.png"])
    index = open_index(tmp_path / "run", index=str(tmp_path / "index"))
    assert index.sample(10) == [0, 2]
    assert [index.has(item) for item in range(3)] == [True, False, True]


def test_scores_do_not_depend_on_earlier_searches(tmp_path: Path) -> None:
    """Sentences are scored by the model's similarity, sums of vectors by the cosine, in any order."""
    save_colour_model(tmp_path / "run", "scaled-cosine")
    np.save(tmp_path / "test_ims.npy", np.eye(3, dtype=np.float32))
    checkpoint = Checkpoint.open(tmp_path / "run")
    checkpoint.model().similarity.scale.data.fill_(math.log(10))
    index = open_index(checkpoint, images=tmp_path / "test_ims.npy")
    for _ in range(2):
        assert index.search("red", 1)[0].score == pytest.approx(10)
        assert index.search_vectors(index.read_vectors([0]), 1)[0][0].score == pytest.approx(1)
