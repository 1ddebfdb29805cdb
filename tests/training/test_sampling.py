"""The order of batches, and their parts for several processes."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vsezoo.errors import DataError
from vsezoo.recipe import Training
from vsezoo.training.sampling import order_epoch, share_batches

sizes = st.integers(1, 300)


def order_batches(captions: int, batch_size: int, seed: int, epoch: int, **fields: Any) -> list[np.ndarray]:
    """Order captions of which neighbouring fives describe one image, and the lengths go from 3 to 12."""
    lengths, image_of = 3 + np.arange(captions) * 7 % 10, np.arange(captions) // 5
    training = Training(batch_size=batch_size, seed=seed, **fields)
    return order_epoch(training, np.arange(captions), lengths, image_of, epoch)


@pytest.mark.slow
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


@pytest.mark.slow
@settings(deadline=None)
@given(captions=sizes, batch_size=sizes, ranks=st.integers(1, 5))
def test_shares(captions: int, batch_size: int, ranks: int) -> None:
    batches = order_batches(captions, batch_size, 0, 0)
    assume(any(len(batch) >= ranks for batch in batches))
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


@pytest.mark.slow
@settings(deadline=None)
@given(captions=sizes, batch_size=st.integers(1, 40), epoch=st.integers(0, 5))
def test_batches_of_one_length(captions: int, batch_size: int, epoch: int) -> None:
    batches = order_batches(captions, batch_size, 0, epoch, batches="lengths")
    assert sorted(np.concatenate(batches).tolist()) == list(range(captions))
    lengths = [set((3 + batch * 7 % 10).tolist()) for batch in batches]
    assert all(len(one) == 1 for one in lengths)
    # Each length has full batches and one of what is left over, if anything is.
    expected = Counter(3 + index * 7 % 10 for index in range(captions))
    found = Counter(length for (length,) in map(tuple, lengths))
    assert found == {length: -(-count // batch_size) for length, count in expected.items()}


def test_the_lengths_take_turns() -> None:
    batches = order_batches(300, 6, 0, 0, batches="lengths")  # 30 captions of each of ten lengths: five rounds
    turns = [int(batch[0]) * 7 % 10 for batch in batches]
    rounds = [turns[start : start + 10] for start in range(0, 50, 10)]
    assert len(turns) == 50
    assert all(sorted(one) == list(range(10)) for one in rounds)
    assert all(first == second for first, second in pairwise(rounds))
    assert rounds[0] != sorted(rounds[0])
    other = order_batches(300, 6, 0, 1, batches="lengths")
    assert [int(batch[0]) * 7 % 10 for batch in other][:10] != rounds[0]


def test_one_caption_of_each_image() -> None:
    chosen: Counter[int] = Counter()
    for epoch in range(400):
        order = np.concatenate(order_batches(50, 4, 0, epoch, batches="images"))
        assert sorted(order // 5) == list(range(10))
        chosen.update(order.tolist())
    # Every caption of an image comes up as often as the others: 80 times, give or take four standard deviations.
    assert set(chosen) == set(range(50))
    assert all(80 - 32 < count < 80 + 32 for count in chosen.values())


@pytest.mark.parametrize(("captions", "left"), [(20, 16), (19, 16), (21, 20)])
def test_the_last_batch_is_dropped_full_or_not(captions: int, left: int) -> None:
    assert sum(map(len, order_batches(captions, 4, 0, 0, last_batch="drop"))) == left


@pytest.mark.parametrize(("captions", "left"), [(20, 20), (19, 16), (21, 20)])
def test_the_last_batch_is_dropped_unless_it_is_full(captions: int, left: int) -> None:
    assert sum(map(len, order_batches(captions, 4, 0, 0, last_batch="full"))) == left


@pytest.mark.parametrize(("batches", "pairs"), [("captions", 15), ("images", 3)])
def test_the_only_batch_is_dropped(batches: str, pairs: int) -> None:
    with pytest.raises(DataError, match=rf"one batch of {pairs} captions, and .*last_batch=drop") as raised:
        order_batches(15, 15, 0, 0, batches=batches, last_batch="drop")
    assert "smaller --batch-size" in raised.value.remedy


@pytest.mark.parametrize("batches", ["captions", "lengths", "images"])
def test_all_captions_are_too_long(batches: str) -> None:
    none = np.array([], dtype=np.int64)
    with pytest.raises(DataError, match=r"no caption .* as short as training\.max_words=2") as raised:
        order_epoch(Training(batches=batches, max_words=2), none, np.full(20, 8), np.arange(20) // 5, 0)
    assert "larger --max-words" in raised.value.remedy


def test_more_processes_than_pairs_in_any_batch() -> None:
    batches = order_batches(7, 2, 0, 0)
    assert sum(map(len, share_batches(batches, 0, 2))) == 3
    with pytest.raises(DataError, match="no batch of the epoch has a pair for each of the 3 processes"):
        share_batches(batches, 0, 3)


@pytest.mark.parametrize("batches", ["captions", "lengths", "images"])
def test_captions_that_are_left_out_never_come_up(batches: str) -> None:
    kept = np.arange(0, 60, 7)
    image_of = np.arange(60) // 5
    training = Training(batch_size=4, batches=batches)
    for epoch in range(5):
        order = np.concatenate(order_epoch(training, kept, np.full(60, 8), image_of, epoch))
        assert set(order.tolist()) <= set(kept.tolist())
        assert len(order) == (len(set(image_of[kept])) if batches == "images" else len(kept))
