"""Kendall's tau, against its definition over all pairs."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsezoo.evaluation.judgements.kendall import correlate

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=30)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(points)
def test_against_all_pairs(drawn):
    x, y = map(np.array, zip(*drawn, strict=True))
    surplus = x_pairs = y_pairs = 0
    for first, second in itertools.combinations(range(len(x)), 2):
        dx, dy = np.sign(x[first] - x[second]), np.sign(y[first] - y[second])
        surplus, x_pairs, y_pairs = surplus + dx * dy, x_pairs + abs(dx), y_pairs + abs(dy)
    tau_b, tau_c = correlate(x, y)
    if not x_pairs or not y_pairs:
        assert math.isnan(tau_b)
        assert math.isnan(tau_c)
        return
    smaller = min(len(set(x.tolist())), len(set(y.tolist())))
    assert tau_b == pytest.approx(surplus / math.sqrt(float(x_pairs) * float(y_pairs)))
    assert tau_c == pytest.approx(2 * surplus / (len(x) ** 2 * (smaller - 1) / smaller))


def test_by_hand():
    tau_b, tau_c = correlate(np.array([1, 2, 3, 4.5]), np.array([1, 1, 2, 2]))
    assert tau_b == pytest.approx(4 / math.sqrt(6 * 4))
    assert tau_c == pytest.approx(2 * 4 * 2 / 16)
