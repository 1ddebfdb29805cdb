"""Schedules: what the learning rate is multiplied by at a step."""

from __future__ import annotations

import math

import pytest

from vsezoo.optimization.schedules import constant, cosine, step


def test_step_drops_after_so_many_epochs() -> None:
    assert [step(epoch, every=2, factor=0.5) for epoch in range(5)] == [1, 1, 0.5, 0.5, 0.25]
    assert step(14) == 1
    assert step(15) == 0.1


def test_cosine_falls_from_one_to_the_final_multiple() -> None:
    multiples = [cosine(n, steps_per_epoch=4, num_epochs=2) for n in range(8)]
    expected = [(1 + math.cos(math.pi * n / 8)) / 2 for n in range(8)]
    assert multiples == pytest.approx(expected)
    assert multiples[0] == 1
    assert multiples[4] == pytest.approx(0.5)
    assert cosine(8, 4, 2) == pytest.approx(0)
    assert cosine(8, 4, 2, final=0.25) == pytest.approx(0.25)
    assert cosine(4, 4, 2, final=0.5) == pytest.approx(0.75)


def test_a_warm_up_rises_linearly_and_never_begins_at_zero() -> None:
    warmed = [cosine(n, 10, 1, warmup=4) for n in range(10)]
    assert warmed[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert warmed[7] == pytest.approx(0.5)  # half of the way from step 4 to step 10
    assert [constant(n, 10, warmup=1) for n in range(3)] == [0.5, 1, 1]
    assert [constant(n, 10) for n in range(3)] == [1, 1, 1]


def test_a_warm_up_in_epochs_and_the_longer_one_counts() -> None:
    by_epochs = [cosine(n, 10, 3, warmup_epochs=0.5) for n in range(30)]
    assert by_epochs == [cosine(n, 10, 3, warmup=5) for n in range(30)]
    assert by_epochs == [cosine(n, 10, 3, warmup=2, warmup_epochs=0.5) for n in range(30)]


@pytest.mark.parametrize("warmup", [5, 6, 100])
def test_a_warm_up_as_long_as_the_run_is_all_there_is(warmup: int) -> None:
    multiples = [cosine(n, 5, 1, warmup=warmup) for n in range(5)]
    assert multiples == pytest.approx([(n + 1) / (warmup + 1) for n in range(5)])
