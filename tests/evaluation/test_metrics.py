"""Metrics from ranks, worked out by hand."""

import numpy as np
import pytest

from vsezoo.errors import UsageError
from vsezoo.evaluation.metrics import DirectionMetrics, Metrics, Ranks, Ties, average_metrics, score_metrics


def test_figures_of_a_direction():
    # Of 8 queries 2 are at rank 0, 5 below 5, 6 below 10; sorted middle 3 and 4, so ⌊3.5⌋ + 1 = 4; sum 56.
    figures = DirectionMetrics.from_ranks(np.array([0, 0, 2, 3, 4, 9, 10, 28]))
    assert figures.to_json() == {"R@1": 25.0, "R@5": 62.5, "R@10": 75.0, "MedR": 4.0, "MeanR": 8.0}


def test_the_median_rank_is_rounded_down():
    assert DirectionMetrics.from_ranks(np.array([0, 1])).medr == 1.0


def test_recall_of_expected_ranks():
    figures = DirectionMetrics.from_ranks(np.array([0.5, 4.5]))
    assert figures.recalls == (50.0, 100.0, 100.0)
    assert figures.medr == 3.0
    assert figures.meanr == 3.5


def metrics(*recalls, medr=1.0, meanr=1.0, ties=(0, 0)):
    i2t, t2i = (DirectionMetrics(*three, medr, meanr) for three in (recalls[:3], recalls[3:]))
    return Metrics(i2t, t2i, Ties("lower_index", *ties))


def test_metrics_of_ranks():
    ranks = Ranks(
        np.array([0, 1]), np.array([0, 6, 0, 2]), np.array([True, False]), np.array([False, True, True, False])
    )
    measured = Metrics.from_ranks(ranks, "lower_index")
    assert measured.rsum == 50 + 100 + 100 + 50 + 75 + 100
    assert measured.mr == 475 / 6
    assert measured.ties == Ties("lower_index", i2t=1, t2i=2)


def test_average():
    mean = average_metrics(
        [
            metrics(10, 20, 30, 40, 50, 60, medr=1.0, meanr=2.0, ties=(1, 2)),
            metrics(20, 30, 40, 50, 60, 71, medr=2.0, meanr=7.0, ties=(3, 0)),
        ]
    )
    assert mean == metrics(15, 25, 35, 45, 55, 65.5, medr=1.5, meanr=4.5, ties=(4, 2))
    assert mean.rsum == (210 + 271) / 2


@pytest.mark.parametrize(("name", "score"), [("rsum", 111_111), ("r1+r5", 11_011), ("search", 111_000)])
def test_selection_criteria(name, score):
    assert score_metrics(metrics(1, 10, 100, 1_000, 10_000, 100_000), name) == score


def test_unknown_criterion():
    with pytest.raises(UsageError, match="Did you mean 'rsum'"):
        score_metrics(metrics(1, 2, 3, 4, 5, 6), "rsun")
