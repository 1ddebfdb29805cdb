"""What a report shows, by hand."""

from __future__ import annotations

import pytest

from vsezoo.evaluation.predictions import Query
from vsezoo.reports.summary import count_ranks, find_confusions, find_extremes, group_margins, measure_curve


def make_query(rank: float, top: tuple[str, ...] = (), scores: tuple[float, ...] = (), name: str = "a.jpg#0") -> Query:
    return Query("t2i", name, (rank,), ("a.jpg",), False, top, scores, "a red ball")


def test_recall_by_k() -> None:
    curve = dict(measure_curve([make_query(rank) for rank in (1, 2, 6.5, 101)]))
    assert (curve[1], curve[2], curve[6], curve[7], curve[100]) == (25, 50, 75, 75, 75)
    # A rank of the rule `expected` may be fractional: R@K counts those below K + 1.
    assert curve[5] == 50


def test_shares_of_ranks_add_up() -> None:
    shares = count_ranks([make_query(rank) for rank in (1, 1, 3, 10, 100, 501, 9000, 1.5)])
    assert shares == [37.5, 12.5, 12.5, 0, 12.5, 0, 25]
    assert sum(shares) == 100


def test_margins_are_grouped_by_size() -> None:
    queries = [
        make_query(1 if number >= 10 else 2, ("a.jpg", "b.jpg") if number >= 10 else ("b.jpg", "a.jpg"), (number, 0))
        for number in range(20)
    ]
    groups = group_margins(queries)
    assert [(group.low, group.high, group.count, group.right) for group in groups[:2]] == [(0, 1, 2, 0), (2, 3, 2, 0)]
    assert [group.right for group in groups] == [0] * 5 + [100] * 5
    assert group_margins([make_query(1, ("a.jpg",), (1.0,))]) == []  # no second candidate


def test_best_and_worst() -> None:
    queries = [
        make_query(1, ("a", "b"), (0.9, 0.8), "small"),
        make_query(1, ("a", "b"), (0.9, 0.1), "large"),
        make_query(7, name="seventh"),
        make_query(90, name="ninetieth"),
    ]
    best, worst = find_extremes(queries, 2)
    assert [query.id for query in best] == ["large", "small"]
    assert [query.id for query in worst] == ["ninetieth", "seventh"]


def test_confused_captions() -> None:
    captions = {
        "a.jpg#0": "A red ball.",
        "a.jpg#1": "snow",
        "b.jpg#0": "a ball, red",
        "b.jpg#1": "trees",
        "c.jpg#0": "the red ball of a dog",
    }
    right = make_query(1, ("a.jpg",), (1.0,))
    same = make_query(2, ("b.jpg", "a.jpg"), (1.0, 0.5))
    like = make_query(2, ("c.jpg", "a.jpg"), (1.0, 0.5))
    found = find_confusions([like, right, same], captions)
    assert [(one.right, one.wrong) for one in found] == [
        ("A red ball.", "a ball, red"),
        ("A red ball.", "the red ball of a dog"),
    ]
    assert [one.share for one in found] == [1, pytest.approx(3 / 6)]
    # From an image, the caption that came first is compared with all of the image's own.
    asked = Query("i2t", "a.jpg", (2, 3), ("a.jpg#0", "a.jpg#1"), False, ("b.jpg#0",), (1.0,))
    assert [one.right for one in find_confusions([asked], captions)] == ["A red ball."]
