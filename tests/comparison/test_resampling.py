"""Intervals and tests, against plain loops and what is known in closed form."""

import itertools

import numpy as np
import pytest

from vsezoo.comparison.hits import measure
from vsezoo.comparison.resampling import adjust_holm, bootstrap, compare_pairs, find_interval

RANDOM = np.random.default_rng(5)


def draw_hits(images: int, rate: float = 0.4) -> np.ndarray:
    return (RANDOM.random((images, 6)) < rate) / images


def even(images: int) -> np.ndarray:
    return np.full((images, 6), 1 / images)


def test_the_bootstrap_has_the_mean_and_the_deviation_that_it_must_have() -> None:
    hits = draw_hits(300)
    values = bootstrap([hits], even(300), 4000)[0]
    rates = hits.sum(0)
    np.testing.assert_allclose(values[:6].mean(1), 100 * rates, atol=0.2)
    np.testing.assert_allclose(values[:6].std(1), 100 * np.sqrt(rates * (1 - rates) / 300), rtol=0.05)
    # rsum: the deviation of the sums of the images.
    np.testing.assert_allclose(values[6].std(), 100 * 300 * hits.sum(1).std() / np.sqrt(300), rtol=0.05)


def test_models_share_the_resamples() -> None:
    hits = draw_hits(50)
    first, second = bootstrap([hits, hits + 0.1 / 50], even(50), 500)
    np.testing.assert_allclose(second[:6] - first[:6], 10, atol=1e-3)
    np.testing.assert_allclose(bootstrap([hits], even(50), 500)[0], first, atol=1e-3)
    assert not np.array_equal(bootstrap([hits], even(50), 500, seed=1)[0], first)


def test_an_image_brings_its_captions_along() -> None:
    """Weights that differ: an image with four captions counts as four, wherever it is drawn."""
    weights = np.array([[0.5] * 3 + [0.8] * 3, [0.5] * 3 + [0.2] * 3])
    hits = weights * [[1], [0]]
    values = bootstrap([hits], weights, 2000)[0]
    assert set(values[3].round(3)) == {0.0, 80.0, 100.0}
    assert set(values[0].round(3)) == {0.0, 50.0, 100.0}


def test_interval() -> None:
    np.testing.assert_allclose(find_interval(np.arange(1001.0)[None]), [[25, 975]])


def test_the_p_value_is_that_of_all_signs() -> None:
    first, second = np.zeros((8, 6)), np.zeros((8, 6))
    second[:, 0] = [3, 1, 4, 1, -5, 9, 2, 6]
    second[:, 1] = 1
    signs = np.array(list(itertools.product([-1, 1], repeat=8)))
    expected = (np.abs(signs @ second[:, 0]) >= second[:, 0].sum()).mean()
    p = compare_pairs(first, second, 20_000)
    assert p[0] == pytest.approx(expected, abs=0.012)
    assert p[1] == pytest.approx(2 / 256, abs=0.003)
    assert p[2] == 1  # no difference at all


def test_holm_by_hand() -> None:
    found = adjust_holm(np.array([[0.01], [0.04], [0.03], [0.5]]))
    np.testing.assert_allclose(found[:, 0], [0.04, 0.09, 0.09, 0.5])
    np.testing.assert_allclose(adjust_holm(np.array([0.9, 0.8])), [1, 1])


@pytest.mark.slow
def test_coverage_of_the_interval() -> None:
    """A small simulation of images that differ in difficulty; benchmarks/intervals.py has the large one."""
    images, repeats, covered, naive = 150, 300, 0, 0
    truth = 0.4
    for _ in range(repeats):
        rates = RANDOM.beta(0.8, 1.2, images)  # mean 0.4; captions of one image are alike
        hits = np.repeat(RANDOM.binomial(5, rates)[:, None] / 5 / images, 6, 1)
        low, high = find_interval(bootstrap([hits], even(images), 400, int(RANDOM.integers(1000)))[0])[0]
        covered += low <= 100 * truth <= high
        rate = hits[:, 0].sum()
        naive += abs(rate - truth) <= 1.96 * np.sqrt(rate * (1 - rate) / (5 * images))
    assert 0.91 < covered / repeats < 0.98  # four standard errors around 0.95
    assert naive / repeats < 0.85  # captions one by one: too narrow


def test_figures() -> None:
    np.testing.assert_allclose(measure(np.full(6, 0.25), np.full(6, 0.5)), [50] * 6 + [300])
