"""Scores in a file: what is there after an interruption is not computed again, and nothing else is taken for it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from sets import BestRegions, draw_sets
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.errors import StorageError
from vsezoo.evaluation import scoring
from vsezoo.evaluation.encoded import EncodedSplit
from vsezoo.evaluation.protocols import measure, measure_folds
from vsezoo.evaluation.scoring import make_scorer
from vsezoo.similarities import CosineSimilarity

IMAGES, TEXTS = 9, 14
PROBE = 8 * 8
"""Pairs that are scored to know the similarity again."""
ALL = slice(0, IMAGES), slice(0, TEXTS)


class Stops(BestRegions):
    """Is interrupted after some pairs; counts them."""

    def __init__(self, limit: float = float("inf")) -> None:
        super().__init__()
        self.limit, self.pairs = limit, 0

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        if self.pairs >= self.limit:
            raise KeyboardInterrupt
        scores = super().forward(images, texts)
        self.pairs += scores.numel()
        return scores


@pytest.fixture(autouse=True)
def small_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "IMAGES", 2)


def make_split(similarity: BestRegions, seed: int = 0) -> EncodedSplit:
    generator = torch.Generator().manual_seed(seed)
    return EncodedSplit(draw_sets(IMAGES, 3, generator), draw_sets(TEXTS, 5, generator), similarity)


@pytest.mark.parametrize("cut", [0, 5, 200])
def test_an_interrupted_evaluation_is_continued(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "scores.npy"
    expected = make_scorer([make_split(Stops())])(*ALL)
    with pytest.raises(KeyboardInterrupt):
        make_scorer([make_split(Stops(PROBE + 40))], keep=file)
    with file.open("r+b") as stream:  # killed while it wrote a band, or while the header was written
        stream.truncate(max(0, file.stat().st_size - cut))
    backup = tmp_path / "backup"
    os.link(file, backup)
    before = backup.read_bytes()
    similarity = Stops()
    told: list[tuple[int, int]] = []
    found = make_scorer([make_split(similarity)], lambda *progress: told.append(progress), file)(*ALL)
    assert torch.equal(found, expected)
    assert backup.read_bytes() == before
    assert similarity.pairs - PROBE < IMAGES * TEXTS or cut == 200
    assert told[-1] == (IMAGES * TEXTS, IMAGES * TEXTS)
    assert np.array_equal(np.load(file), expected.numpy())
    again = Stops(PROBE)
    assert torch.equal(make_scorer([make_split(again)], keep=file)(*ALL), expected)
    assert again.pairs == PROBE


def test_scores_of_other_embeddings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "scores.npy"
    make_scorer([make_split(Stops())], keep=file)
    before = file.read_bytes()
    with pytest.raises(StorageError, match=r"scores\.npy: contains the scores of other embeddings"):
        make_scorer([make_split(Stops(), seed=1)], keep=file)
    with pytest.raises(StorageError, match="contains the scores of other embeddings"):
        make_scorer([make_split(Stops()), make_split(Stops())], keep=file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("about", [None, "{", '{"images": 9}'])
def test_any_other_file_is_refused(tmp_path: Path, about: str | None) -> None:
    file = tmp_path / "thesis.npy"
    np.save(file, np.zeros(3))
    before = file.read_bytes()
    if about is not None:
        file.with_name("thesis.npy.json").write_text(about)
    with pytest.raises(StorageError, match=r"thesis\.npy: is not a file of scores that can be continued"):
        make_scorer([make_split(Stops())], keep=file)
    assert file.read_bytes() == before


def test_an_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "scores.npy"
    make_scorer([make_split(Stops())], keep=file)
    np.save(file, np.zeros((4, 4), np.float32))
    with pytest.raises(StorageError, match=r"is not the array that its \.json describes"):
        make_scorer([make_split(Stops())], keep=file)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"file/scores\.npy.*: cannot be written: File exists"):
        make_scorer([make_split(Stops())], keep=tmp_path / "file" / "scores.npy")


def test_scores_of_vectors_are_kept_if_asked_for(tmp_path: Path) -> None:
    vectors = torch.eye(4)
    make_scorer([EncodedSplit(vectors, vectors, CosineSimilarity())], keep=tmp_path / "s.npy")
    assert np.array_equal(np.load(tmp_path / "s.npy"), np.eye(4, dtype=np.float32))


def test_each_fold_has_its_own_file(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    split = EncodedSplit(draw_sets(10, 3, generator), draw_sets(20, 3, generator), BestRegions())
    image_of = np.repeat(np.arange(10), 2)
    kept = measure_folds([split], image_of, fold_images=2, keep=tmp_path / "s.npy")
    assert kept == measure_folds([split], image_of, fold_images=2)
    assert sorted(file.name for file in tmp_path.glob("*.npy")) == [f"s.fold{fold}.npy" for fold in range(1, 6)]
    assert measure([split], image_of, keep=tmp_path / "s.npy") == measure([split], image_of)
