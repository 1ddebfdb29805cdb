"""The order of batches, their parts for several processes, and what is in one."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vsezoo.data.batches import PairBatches, TokenTable, order_batches, share_batches
from vsezoo.data.lookup import open_data
from vsezoo.encoders.precomputed import to_tensor

sizes = st.integers(1, 300)


@settings(deadline=None)
@given(captions=sizes, batch_size=sizes, seed=st.integers(0, 2**40), epoch=st.integers(0, 100))
def test_every_caption_once_in_an_epoch(captions: int, batch_size: int, seed: int, epoch: int) -> None:
    batches = order_batches(captions, batch_size, seed, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(captions))
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert 1 <= len(batches[-1]) <= batch_size
    again = order_batches(captions, batch_size, seed, epoch)
    assert all(np.array_equal(first, second) for first, second in zip(batches, again, strict=True))


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    np.random.seed(1)
    first = np.concatenate(order_batches(100, 7, 3, 2))
    np.random.seed(2)
    assert np.array_equal(first, np.concatenate(order_batches(100, 50, 3, 2)))  # nor on the batch size
    for seed, epoch in ((3, 1), (2, 2), (2, 3)):
        assert not np.array_equal(first, np.concatenate(order_batches(100, 7, seed, epoch)))


def test_the_order_is_shuffled() -> None:
    distances = np.abs(np.diff(np.concatenate(order_batches(1000, 128, 0, 0))))
    assert distances.mean() == pytest.approx(1000 / 3, rel=0.1)  # as between independent uniform numbers


@settings(deadline=None)
@given(captions=sizes, batch_size=sizes, ranks=st.integers(1, 5))
def test_shares(captions: int, batch_size: int, ranks: int) -> None:
    batches = order_batches(captions, batch_size, 0, 0)
    shares = [share_batches(batches, rank, ranks) for rank in range(ranks)]
    assert len({len(share) for share in shares}) == 1  # all processes make the same steps
    whole = [batch for batch in batches if len(batch) >= ranks]
    assert len(shares[0]) == len(whole)
    for index, batch in enumerate(whole):
        parts = [share[index] for share in shares]
        assert len({len(part) for part in parts}) == 1
        joined = np.concatenate(parts)
        assert np.array_equal(joined, batch[: len(joined)])  # in the order of the ranks
        assert len(batch) - len(joined) < ranks


def test_tokens_are_padded_at_the_end() -> None:
    table = TokenTable([np.array([1, 5, 2], np.int32), np.array([1, 2], np.int32), np.array([1, 7, 8, 9, 2], np.int32)])
    assert len(table) == 3
    tokens = table.pad(np.array([1, 0]))
    assert tokens.ids.tolist() == [[1, 2, 0], [1, 5, 2]]
    assert tokens.lengths.tolist() == [2, 3]
    assert (tokens.ids.dtype, tokens.lengths.dtype) == (torch.int64, torch.int64)
    assert [table.caption(index).tolist() for index in range(3)] == [[1, 5, 2], [1, 2], [1, 7, 8, 9, 2]]


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> PairBatches:
    data = open_data(str(tiny.write_data(tmp_path_factory.mktemp("batches") / "data")), "train", ("vector",))
    tokens = TokenTable([np.array([1, 4 + index % 9, 2], np.int32) for index in range(len(data.captions))])
    return PairBatches(data, tokens, to_tensor, order_batches(len(tokens), 100, 0, 0))


def test_a_batch_pairs_each_caption_with_its_image(batches: PairBatches) -> None:
    features = np.load(tiny_features(batches))
    read = list(batches.load(0))
    assert len(read) == len(batches) == 4
    for batch, captions in zip(read, batches.batches, strict=True):
        assert batch.caption_index.tolist() == captions.tolist()
        assert batch.image_index.tolist() == [caption // 5 for caption in captions]
        assert np.array_equal(batch.images.numpy(), features[captions // 5])
        assert batch.tokens.ids[:, 1].tolist() == [4 + caption % 9 for caption in captions]


def tiny_features(batches: PairBatches) -> Path:
    return batches.data._features.path  # type: ignore[attr-defined]


def test_workers_read_the_same_in_the_same_order(batches: PairBatches) -> None:
    for first, second in zip(batches.load(0), batches.load(2), strict=True):
        assert torch.equal(first.images, second.images)
        assert torch.equal(first.tokens.ids, second.tokens.ids)
        assert torch.equal(first.caption_index, second.caption_index)
    assert multiprocessing.active_children() == []


def test_reading_draws_no_random_number(batches: PairBatches) -> None:
    for workers in (0, 1):
        before = torch.get_rng_state()
        list(batches.load(workers))
        assert torch.equal(torch.get_rng_state(), before)
