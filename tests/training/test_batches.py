"""What is in a batch, and who reads it."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from torch import Tensor

from vsezoo.data.lookup import open_data
from vsezoo.data.precomputed.pairs import PrecomputedPairs
from vsezoo.data.view import PairView
from vsezoo.encoders.precomputed import PrecomputedImageEncoder, to_tensor
from vsezoo.errors import DataError
from vsezoo.training.batches import PairBatches, TokenTable
from vsezoo.training.feed import Feed
from vsezoo.training.splits import Split


def test_tokens_are_padded_at_the_end() -> None:
    table = TokenTable([np.array([1, 5, 2], np.int32), np.array([1, 2], np.int32), np.array([1, 7, 8, 9, 2], np.int32)])
    assert len(table) == 3
    tokens = table.pad(np.array([1, 0]))
    assert tokens.ids.tolist() == [[1, 2, 0], [1, 5, 2]]
    assert tokens.lengths.tolist() == [2, 3]
    assert (tokens.ids.dtype, tokens.lengths.dtype) == (torch.int64, torch.int64)
    assert [table.caption(index).tolist() for index in range(3)] == [[1, 5, 2], [1, 2], [1, 7, 8, 9, 2]]


@pytest.fixture(scope="module")
def batches(data: Path) -> PairBatches:
    pairs = open_data(str(data), "train", ("vector",))
    tokens = TokenTable([np.array([1, 4 + index % 9, 2], np.int32) for index in range(len(pairs.captions))])
    order = np.random.default_rng(0).permutation(len(tokens))
    return PairBatches(pairs, tokens, to_tensor, [order[start : start + 100] for start in range(0, len(order), 100)])


def test_a_batch_pairs_each_caption_with_its_image(batches: PairBatches, data: Path) -> None:
    features = np.load(data / "train_ims.npy")
    read = list(batches.load(0))
    assert len(read) == len(batches) == 4
    for batch, captions in zip(read, batches.batches, strict=True):
        assert batch.caption_index.tolist() == captions.tolist()
        assert batch.image_index.tolist() == [caption // 5 for caption in captions]
        assert np.array_equal(batch.images.numpy(), features[captions // 5])
        assert batch.tokens.ids[:, 1].tolist() == [4 + caption % 9 for caption in captions]


def test_a_thread_reads_the_next_batch(batches: PairBatches, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the first is in use, the second is read; what is wrong with it is raised when it is due."""
    begun, read = [], PairBatches.read

    def record(batch: PairBatches, index: int) -> object:
        begun.append((index, threading.current_thread() is threading.main_thread()))
        if index == 2:
            raise DataError("is damaged.")
        return read(batch, index)

    expected = list(batches.load(0))[:2]
    monkeypatch.setattr(PairBatches, "read", record)
    coming = batches.read_ahead()
    for batch in expected:
        found = next(coming)
        assert torch.equal(found.images, batch.images)
        assert torch.equal(found.tokens.ids, batch.tokens.ids)
        assert torch.equal(found.caption_index, batch.caption_index)
    with pytest.raises(DataError, match="is damaged"):
        next(coming)
    assert begun[:3] == [(0, False), (1, False), (2, False)]


@pytest.mark.parametrize("workers", [0, 1])
def test_who_reads_ahead(data: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    """Workers if there are any, else a thread, but only for rows of a file: other data might refuse threads."""
    pairs, encoder = open_data(str(data), "train", ("vector",)), PrecomputedImageEncoder(embed_size=4, img_dim=12)
    tokens = TokenTable([np.array([1, 4, 2], np.int32)] * len(pairs.captions))
    ways = []
    monkeypatch.setattr(PairBatches, "read_ahead", lambda self: ways.append("thread") or iter(()))
    monkeypatch.setattr(PairBatches, "load", lambda self, workers: ways.append(workers) or iter(()))
    for source in (pairs, PairView(pairs)):
        feed = Feed(Split(source, tokens), encoder, torch.device("cpu"), workers)
        assert list(feed.load([np.arange(5)], (0,), 0)) == []
    assert ways == ([1, 1] if workers else ["thread", 0])


def test_a_class_made_from_that_of_feature_files_is_read_by_the_main_thread(data: Path) -> None:
    class Other(PrecomputedPairs):
        def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
            assert threading.current_thread() is threading.main_thread()
            return super().images(indices)

    pairs, encoder = open_data(str(data), "train", ("vector",)), PrecomputedImageEncoder(embed_size=4, img_dim=12)
    pairs.__class__ = Other
    split = Split(pairs, TokenTable([np.array([1, 4, 2], np.int32)] * len(pairs.captions)))
    feed = Feed(split, encoder, torch.device("cpu"))
    assert len(list(feed.load([np.arange(5), np.arange(5)], (0,), 0))) == 2


def test_each_epoch_asks_the_encoder_what_it_takes(data: Path) -> None:
    class Growing(PrecomputedImageEncoder):
        scale = 1.0

        def transform(self, training: bool) -> Callable[[Any], Tensor]:
            scale = self.scale
            return to_tensor if scale == 1 else lambda features: to_tensor(features) * scale

    pairs, encoder = open_data(str(data), "train", ("vector",)), Growing(embed_size=4, img_dim=12)
    split = Split(pairs, TokenTable([np.array([1, 4, 2], np.int32)] * len(pairs.captions)))
    feed = Feed(split, encoder, torch.device("cpu"))
    (first,) = feed.load([np.arange(5)], (0,), 0)
    encoder.scale = 2.0
    (second,) = feed.load([np.arange(5)], (1,), 0)
    assert torch.equal(second.images, 2 * first.images)


@pytest.mark.process
def test_workers_read_the_same_in_the_same_order(batches: PairBatches) -> None:
    for first, second in zip(batches.load(0), batches.load(2), strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.tokens.ids, second.tokens.ids)
        assert torch.equal(first.caption_index, second.caption_index)
    assert multiprocessing.active_children() == []


@pytest.mark.process
def test_reading_draws_no_random_number(batches: PairBatches) -> None:
    for workers in (0, 1):
        before = torch.get_rng_state()
        list(batches.load(workers))
        assert torch.equal(torch.get_rng_state(), before)


class DrawnPictures(tiny.TinyPairs):
    """Pictures, as far as batches know."""

    def __init__(self) -> None:
        super().__init__(images=40)
        self.kind = "picture"


def draw(images: np.ndarray) -> torch.Tensor:
    """Draw from every generator that a transform may draw from."""
    drawn = [random.random(), float(np.random.rand()), float(torch.rand(()))]
    return torch.tensor([drawn] * len(images), dtype=torch.float64)


def read_drawn(seed: tuple[int, ...], start: int, workers: int) -> list[list[float]]:
    data = DrawnPictures()
    tokens = TokenTable([np.array([1, 2], np.int32)] * len(data.captions))
    order = np.split(np.arange(len(tokens)), 10)
    loader = PairBatches(data, tokens, draw, order[start:], seed, start)
    return [batch.images[0].tolist() for batch in loader.load(workers)]


@pytest.mark.process
def test_random_changes_of_pictures_depend_on_the_seed_and_the_batch_alone() -> None:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    whole = read_drawn((1, 0, 0), 0, 0)
    assert len({tuple(drawn) for drawn in whole}) == 10
    assert read_drawn((1, 0, 0), 0, 2) == whole  # whoever reads them
    assert read_drawn((1, 0, 0), 4, 2) == whole[4:]  # resumed
    for other in ((2, 0, 0), (1, 1, 0), (1, 0, 1)):
        assert not {tuple(drawn) for drawn in read_drawn(other, 0, 0)} & {tuple(drawn) for drawn in whole}
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[1:]
