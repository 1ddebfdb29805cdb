"""Metrics of one query, next to those of other libraries on the same scores.

The figures of the others were recorded, each query by itself: pytrec_eval-terrier 0.5.11 (numpy 2.4.6), torchmetrics
1.9.0 and `recall_at_k` of clip-benchmark 1.6.2 (both with torch 2.14.1). Where a library is installed,
it is asked again.
"""

from typing import Any

import numpy as np
import pytest
import torch

from vsezoo.evaluation import query_metrics
from vsezoo.evaluation.matches import place_matches

SCORES = [
    [-0.10, -0.40, 0.30, 0.20, -0.20, -0.60, 0.10, -0.50, -0.30],
    [0.50, 0.40, -0.10, 0.30, 0.45, -0.70, 0.20, 0.10, -0.20],
    [-0.30, -0.20, -0.60, -0.50, -0.40, -0.45, -0.10, -0.70, -0.80],
    [0.25, 0.60, 0.05, 0.25, -0.35, 0.15, 0.25, 0.55, -0.15],
]
"""Of four images and nine captions. Image 3 has a tie: 0.25 of its caption 6, and of captions 0 and 3."""
OWN = [[0, 1, 2], [3, 4, -1], [5, -1, -1], [6, 7, 8]]
RANKS = [(1, 4, 7), (2, 4), (5,), (2, 5, 8)]
"""By hand, counted from 1; of equal scores the lower index comes first."""

PYTREC = {
    "map": [0.6428571428571429, 0.5, 0.2, 0.5138888888888888],
    "Rprec": [1 / 3, 0.5, 0.0, 2 / 3],
    "success_1": [1, 0, 0, 0],
    "success_5": [1, 1, 1, 1],
    "recall_1": [1 / 3, 0, 0, 0],
    "recall_5": [2 / 3, 1, 1, 2 / 3],
    "P_5": [0.4, 0.4, 0.2, 0.4],
    "recip_rank": [1, 0.5, 0.2, 0.5],
}
TORCHMETRICS = {"map": [1.0, 0.5, 0.0, 0.45], "recall_5": [1 / 3, 1.0, 0.0, 2 / 3], "recip_rank": [1, 0.5, 0.0, 0.5]}
"""What it makes of these scores: it counts a match only if its score is above zero."""
SHIFTED = {"map": [0.6428571, 0.5, 0.2, 0.425], "recall_5": [2 / 3, 1, 1, 2 / 3], "recip_rank": [1, 0.5, 0.2, 0.5]}
"""What it makes of the same scores plus 1."""
CLIP_BENCHMARK = {"recall_1": [1 / 3, 0, 0, 0], "recall_5": [2 / 3, 1, 1, 2 / 3]}
"""Of its own function; what it reports is how often this is above zero, which is `success`."""

OURS = {
    "map": query_metrics.average_precision,
    "Rprec": query_metrics.r_precision,
    "success_1": lambda ranks: query_metrics.hit(ranks, 1),
    "success_5": lambda ranks: query_metrics.hit(ranks, 5),
    "recall_1": lambda ranks: query_metrics.recall(ranks, 1),
    "recall_5": lambda ranks: query_metrics.recall(ranks, 5),
    "P_5": lambda ranks: query_metrics.precision(ranks, 5),
    "recip_rank": query_metrics.reciprocal_rank,
}


def test_the_ranks_of_the_example() -> None:
    found = place_matches(torch.tensor(SCORES), torch.tensor(OWN), "lower_index").positions + 1
    assert [tuple(row[row < np.inf]) for row in found.numpy()] == RANKS


@pytest.mark.parametrize("name", PYTREC)
def test_beside_pytrec_eval(name: str) -> None:
    ours = [OURS[name](ranks) for ranks in RANKS]
    assert ours[:3] == pytest.approx(PYTREC[name][:3])
    # It breaks the tie of image 3 by the greater id, which is the match's: as if it ranked third.
    assert OURS[name]((2, 3, 8)) == pytest.approx(PYTREC[name][3])


@pytest.mark.parametrize("name", SHIFTED)
def test_beside_torchmetrics(name: str) -> None:
    ours = [OURS[name](ranks) for ranks in RANKS]
    assert ours == pytest.approx(SHIFTED[name], abs=1e-6)
    assert ours != pytest.approx(TORCHMETRICS[name], abs=1e-6)  # scores below zero


@pytest.mark.parametrize("k", [1, 5])
def test_beside_clip_benchmark(k: int) -> None:
    theirs = CLIP_BENCHMARK[f"recall_{k}"]
    assert [query_metrics.recall(ranks, k) for ranks in RANKS] == pytest.approx(theirs)
    assert [query_metrics.hit(ranks, k) for ranks in RANKS] == [value > 0 for value in theirs]


def test_map_at_r_forgets_what_is_beyond_r() -> None:
    assert query_metrics.map_at_r((1, 4, 7)) == pytest.approx(1 / 3)
    assert query_metrics.map_at_r((1, 3, 4)) == pytest.approx((1 + 2 / 3) / 3)
    assert query_metrics.map_at_r((1, 2)) == 1


# The libraries themselves, where they are installed: none of them is needed.

QUERIES = [f"q{image}" for image in range(4)]
QRELS = {query: {f"d{d}": 1 for d in own if d >= 0} for query, own in zip(QUERIES, OWN, strict=True)}
RUN = {
    query: {f"d{d}": float(score) for d, score in enumerate(row)} for query, row in zip(QUERIES, SCORES, strict=True)
}


def test_pytrec_eval_itself() -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval")
    names = {"map", "Rprec", "success.1,5", "recall.1,5", "P.5", "recip_rank"}
    found = pytrec_eval.RelevanceEvaluator(QRELS, names).evaluate(RUN)
    for name, expected in PYTREC.items():
        assert [found[query][name] for query in QUERIES] == pytest.approx(expected), name


def test_ir_measures_itself() -> None:
    """It hands over to pytrec_eval, whose rule for ties it has."""
    ir_measures = pytest.importorskip("ir_measures")
    measures = {"map": "AP", "Rprec": "Rprec", "success_1": "Success@1", "recall_5": "R@5", "recip_rank": "RR"}
    for name, text in measures.items():
        measure = ir_measures.parse_measure(text)
        found = {item.query_id: item.value for item in ir_measures.iter_calc([measure], QRELS, RUN)}
        assert [found[query] for query in QUERIES] == pytest.approx(PYTREC[name]), text


@pytest.mark.parametrize(("shift", "expected"), [(0, TORCHMETRICS), (1, SHIFTED)], ids=["as they are", "plus 1"])
def test_torchmetrics_itself(shift: int, expected: dict[str, list[float]]) -> None:
    retrieval = pytest.importorskip("torchmetrics.functional.retrieval")
    functions: dict[str, Any] = {
        "map": retrieval.retrieval_average_precision,
        "recall_5": lambda scores, own: retrieval.retrieval_recall(scores, own, top_k=5),
        "recip_rank": retrieval.retrieval_reciprocal_rank,
    }
    for row, own in enumerate(OWN):
        scores = torch.tensor(SCORES[row]) + shift
        matches = torch.tensor([d in own for d in range(9)])
        for name, function in functions.items():
            value = float(function(scores, matches))
            if row == 3 and name != "recall_5":  # the tie: its sort is unstable
                continue
            assert value == pytest.approx(expected[name][row], abs=1e-6), (name, row)


def test_clip_benchmark_itself() -> None:
    module = pytest.importorskip("clip_benchmark.metrics.zeroshot_retrieval")
    positive = torch.tensor([[d in own for d in range(9)] for own in OWN])
    for k in (1, 5):
        found = module.recall_at_k(torch.tensor(SCORES), positive, k).tolist()
        assert found == pytest.approx(CLIP_BENCHMARK[f"recall_{k}"])


def test_mteb_itself() -> None:
    """Its recall is true recall: at 1 it is 1/3 at most for three captions. Its hit rate is the R@K of papers."""
    metrics = pytest.importorskip("mteb._evaluators.retrieval_metrics")
    found = metrics.calculate_retrieval_scores(RUN, QRELS, [1, 5])
    for name in ("recall", "success"):
        values = found.recall if name == "recall" else found.hit_rate
        for k in (1, 5):
            (value,) = [value for key, value in values.items() if key.endswith((f"@{k}", f"_{k}"))]
            assert value == pytest.approx(np.mean(PYTREC[f"{name}_{k}"]), abs=1e-4)


@pytest.mark.filterwarnings("ignore:unsafe cast:")  # of numba, when it compiles
def test_ranx_itself() -> None:
    """Without ties it counts as vsezoo does."""
    ranx = pytest.importorskip("ranx")
    queries = QUERIES[:3]
    qrels, run = ({query: part[query] for query in queries} for part in (QRELS, RUN))
    names = {"map": "map", "Rprec": "r-precision", "success_1": "hit_rate@1", "recall_5": "recall@5"}
    found = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), list(names.values()))
    for name, theirs in names.items():
        assert found[theirs] == pytest.approx(np.mean([OURS[name](ranks) for ranks in RANKS[:3]])), name
