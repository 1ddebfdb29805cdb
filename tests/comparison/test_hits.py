"""Results by image: the figures that they give are those of an evaluation."""

from pathlib import Path

import numpy as np
import predicted
import pytest

from vsezoo.comparison.hits import FIGURES, find_file, measure, read_result
from vsezoo.errors import DataError
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.predictions import Predictions, Query


def figures_of(result):
    return measure(result.hits.sum(0), result.weights.sum(0))


def test_figures_by_hand(tmp_path: Path) -> None:
    ranks = {"i2t": [1, 6], "t2i": [1, 2, 10, 11]}
    file = predicted.save(tmp_path / "a.jsonl", predicted.make_predictions(ranks, per_image=2))
    result = read_result("a", file)
    np.testing.assert_allclose(figures_of(result), [50, 50, 100, 25, 50, 75, 350])
    # Image 0 has the ranks 1, and 1 and 2; image 1 has 6, and 10 and 11.
    np.testing.assert_allclose(result.hits, [[0.5, 0.5, 0.5, 0.25, 0.5, 0.5], [0, 0, 0.5, 0, 0, 0.25]])
    np.testing.assert_allclose(result.weights, 0.5)


def test_fractional_ranks_count_as_in_an_evaluation(tmp_path: Path) -> None:
    ranks = {"i2t": [1.5, 2.0, 5.9, 6.0], "t2i": [1.0, 1.9, 10.5, 11.0]}
    file = predicted.save(tmp_path / "a.jsonl", predicted.make_predictions(ranks, per_image=1))
    found = dict(zip(FIGURES, figures_of(read_result("a", file)), strict=True))
    for way, values in ranks.items():
        expected = DirectionMetrics.from_ranks(np.array(values) - 1)
        assert [found[f"{way} R@{k}"] for k in (1, 5, 10)] == pytest.approx(expected.recalls)


def test_folds_are_averaged(tmp_path: Path) -> None:
    queries = [
        Query("i2t", name, (rank,), ("x",), fold=fold) for name, rank, fold in [("a", 1, 1), ("b", 1, 2), ("c", 9, 2)]
    ]
    queries += [Query("t2i", f"{query.id}#0", query.ranks, (query.id,), fold=query.fold) for query in queries]
    about = predicted.make_predictions({"i2t": [1], "t2i": [1]}).about
    file = predicted.save(tmp_path / "a.jsonl", Predictions(about, queries))
    assert figures_of(read_result("a", file))[0] == pytest.approx((100 + 50) / 2)


def test_a_folder_with_predictions(tmp_path: Path) -> None:
    ranks = {"i2t": [1], "t2i": [1]}
    file = predicted.save(tmp_path / "run" / "predictions.jsonl", predicted.make_predictions(ranks))
    assert find_file(tmp_path / "run") == file
    (tmp_path / "run" / "best").mkdir()
    assert find_file(tmp_path / "run" / "best") == file
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: has no predictions.*\nWrite them: vsezoo eval"):
        find_file(tmp_path / "empty")
    (tmp_path / "empty" / "last").mkdir()
    with pytest.raises(DataError, match=r"\nIf it was stopped, continue it with --resume, .* vsezoo eval"):
        find_file(tmp_path / "empty")


def test_predictions_of_one_direction(tmp_path: Path) -> None:
    predictions = predicted.make_predictions({"i2t": [1], "t2i": []})
    with pytest.raises(DataError, match="not a complete file"):
        read_result("a", predicted.save(tmp_path / "a.jsonl", predictions))
