"""Scores of sets: equal to those of each pair alone, computed once, in bounded memory, with nothing left behind."""

from __future__ import annotations

import errno
import gc
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sets import BestRegions, draw_sets, score_slowly
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.errors import StorageError
from vsezoo.evaluation import protocols, scoring, scratch
from vsezoo.evaluation.encoded import EncodedSide, EncodedSplit
from vsezoo.evaluation.protocols import measure, measure_folds
from vsezoo.evaluation.scoring import make_scorer
from vsezoo.interfaces import Similarity
from vsezoo.similarities import CosineSimilarity


class Counted(BestRegions):
    """Counts the pairs that it scores."""

    tile = 6

    def __init__(self) -> None:
        super().__init__()
        self.pairs = 0
        self.largest = 0

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        scores = super().forward(images, texts)
        self.pairs += scores.numel()
        self.largest = max(self.largest, scores.numel())
        return scores


@pytest.mark.slow
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(images=st.integers(1, 9), texts=st.integers(1, 14), seed=st.integers(0, 99), memory=st.sampled_from([0, 2**20]))
def test_equals_each_pair_alone(
    images: int, texts: int, seed: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "IMAGES", 4)
    monkeypatch.setattr(scoring, "TEXTS", 5)
    monkeypatch.setattr(scratch, "IN_MEMORY", memory)
    generator = torch.Generator().manual_seed(seed)
    first, second = draw_sets(images, 3, generator), draw_sets(texts, 5, generator)
    similarity = Counted().eval()
    told: list[tuple[int, int]] = []
    scorer = make_scorer([EncodedSplit(first, second, similarity)], lambda *progress: told.append(progress))
    assert similarity.pairs == images * texts
    assert similarity.largest <= similarity.tile
    expected = score_slowly(first, second)
    whole = scorer(slice(0, images), slice(0, texts))
    assert (whole - expected).abs().max() <= 1e-6 * max(1, expected.abs().max())
    assert torch.equal(scorer(slice(1, 3), slice(2, 9)), whole[1:3, 2:9])
    assert similarity.pairs == images * texts
    assert told[-1] == (images * texts, images * texts)
    assert sorted(told) == told


@pytest.mark.parametrize("memory", [0, 2**20])
def test_packed_sides_are_what_went_in(memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", memory)
    sets = draw_sets(7, 5, torch.Generator().manual_seed(0))
    order = np.array([4, 0, 6, 2, 1, 5, 3])
    side = EncodedSide.pack((order[part], sets[torch.from_numpy(order[part])]) for part in (slice(0, 3), slice(3, 7)))
    for chosen, rows in ((side, slice(None)), (side.select(slice(2, 5)), slice(2, 5))):
        found, expected = chosen.load(), sets[rows]
        assert torch.equal(found.embeddings, expected.embeddings)
        assert torch.equal(found.counts, expected.counts)
        assert found.size == expected.counts.max()
        padded = expected.regions.masked_fill(~expected.mask[:, :, None], 0)
        assert torch.equal(found.regions, padded[:, : found.size])
    half = side.select(torch.tensor([True, False, True, False, False, False, True]))
    assert torch.equal(half.load().counts, sets.counts[[0, 2, 6]])
    assert side.items is not None
    assert len(side.items) == sets.counts.sum()  # no padding is kept


def test_vectors_are_asked_for_as_ever() -> None:
    """A cheap similarity is called for each block that ranks want, and nothing is put aside."""
    calls: list[int] = []

    class Inner(Similarity):
        def forward(self, images: Tensor, texts: Tensor) -> Tensor:
            calls.append(len(images) * len(texts))
            return images @ texts.T

    vectors = torch.eye(4)
    scorer = make_scorer([EncodedSplit(vectors, vectors, Inner())])
    assert calls == []
    assert torch.equal(scorer(slice(1, 3), slice(0, 4)), vectors[1:3])
    assert calls == [8]


def test_an_ensemble_of_sets_and_vectors() -> None:
    generator = torch.Generator().manual_seed(1)
    images, texts = draw_sets(3, 2, generator), draw_sets(6, 4, generator)
    members = [EncodedSplit(images, texts, BestRegions()), EncodedSplit(images, texts, CosineSimilarity())]
    found = make_scorer(members)(slice(0, 3), slice(0, 6))
    expected = score_slowly(images, texts) + images.embeddings @ texts.embeddings.T
    torch.testing.assert_close(found, expected)


def test_figures_and_progress_of_folds() -> None:
    """Folds of two images, whose captions lie where their regions are: perfect in each fold."""
    items = torch.eye(10)[:, None].expand(10, 2, 10).clone()
    texts = Embeddings(torch.zeros(20, 10), items.repeat_interleave(2, dim=0), torch.tensor([1, 2] * 10))
    split = EncodedSplit(Embeddings(torch.zeros(10, 10), items), texts, BestRegions())
    told: list[tuple[int, int]] = []
    image_of = np.repeat(np.arange(10), 2)
    measured = measure_folds([split], image_of, fold_images=2, advance=lambda *progress: told.append(progress))
    assert measured.rsum == 600
    assert told == [(8, 40), (16, 40), (24, 40), (32, 40), (40, 40)]
    assert measure([split], image_of).i2t.r1 == 100


class Fails(BestRegions):
    """Runs out of memory in the third block."""

    calls = 0
    tile = 2

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        self.calls += 1
        if self.calls == 3:
            raise MemoryError
        return super().forward(images, texts)


@pytest.mark.slow
def test_nothing_is_left_of_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    monkeypatch.setattr(scoring, "IMAGES", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made: list[Any] = []
    make = tempfile.TemporaryFile

    def note(*arguments: Any, **options: Any) -> Any:
        made.append(make(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", note)
    sets = draw_sets(4, 3, torch.Generator().manual_seed(0))
    assert measure([EncodedSplit(sets, sets, BestRegions().eval())], np.arange(4)).rsum > 0
    assert len(made) == 3  # images, texts and scores
    with pytest.raises(MemoryError):
        measure([EncodedSplit(sets, sets, Fails().eval())], np.arange(4))
    assert len(made) == 6
    assert list(tmp_path.iterdir()) == []
    made.clear()
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_no_room_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    sets = draw_sets(4, 3, torch.Generator().manual_seed(0))
    with pytest.raises(StorageError, match=r"No space left on device") as raised:
        EncodedSplit(sets, sets, BestRegions())
    assert raised.value.file == str(tmp_path)
    assert "$TMPDIR" in raised.value.remedy


def test_the_earlier_name_of_an_encoded_split() -> None:
    with pytest.deprecated_call(match=r"protocols\.Embeddings has become EncodedSplit"):
        assert protocols.Embeddings is EncodedSplit
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        protocols.nothing  # noqa: B018
