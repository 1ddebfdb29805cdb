"""Write the report of an evaluation as one HTML page, which loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.comparison.hits import FIGURES, make_result
from vsezoo.comparison.resampling import bootstrap, find_interval
from vsezoo.evaluation.metrics import LABELS, PROTOCOLS
from vsezoo.evaluation.predictions import Predictions, Query
from vsezoo.evaluation.report import Evaluation
from vsezoo.reports.charts import Axis, Line, draw_bars, draw_lines, draw_matrix
from vsezoo.reports.examination import Examination
from vsezoo.reports.sample import ScoreSample
from vsezoo.reports.summary import (
    ALIKE,
    BINS,
    CURVE,
    DIRECTIONS,
    count_ranks,
    find_confusions,
    find_extremes,
    group_margins,
    measure_curve,
    split_directions,
)
from vsezoo.storage.html_page import write_html
from vsezoo.training.history import History

NAMES = {"i2t": "image to text", "t2i": "text to image"}
LISTED = 8
"""Best, worst and confused queries of each direction."""
SHOWN = 5
"""First candidates of a query."""
BARS = 30
"""Bars of the histogram of scores."""
PERCENT = "percent of the queries"


def write_report(path: Path, evaluation: Evaluation, examination: Examination, history: History | None = None) -> None:
    """Write the page. It contains no paths of folders, so that it can be shared.

    Args:
        path: the output file; replaced if it exists.
        evaluation: the figures.
        examination: what saw them being made.
        history: of the run that the model is from; None: there is none, as of an ensemble.

    Raises:
        StorageError: when the page cannot be written; an existing file is left unchanged.
    """
    by_way = split_directions(examination.queries)
    values = {
        "title": ", ".join(dict.fromkeys(member["model"] for member in evaluation.checkpoints)),
        "facts": _list_facts(evaluation),
        "labels": LABELS,
        "rows": _make_rows(evaluation, examination),
        "ties": _describe_ties(evaluation),
        "charts": [*_draw_ranks(by_way), *_draw_scores(by_way, examination.sample), *_draw_history(history)],
        "matrix": _draw_sample(examination),
        "queries": [_make_lists(way, by_way[way], examination) for way in DIRECTIONS],
        "confusions": [_make_confusions(way, by_way[way], examination) for way in DIRECTIONS],
    }
    write_html(path, "vsezoo.reports", values)


def _list_facts(evaluation: Evaluation) -> list[str]:
    members = len(evaluation.checkpoints)
    return [
        f"{evaluation.data}, {evaluation.split} split",
        PROTOCOLS.get(evaluation.protocol, evaluation.protocol),
        f"{evaluation.images:,} images, {evaluation.captions:,} captions",
        f"ensemble of {members} models" if evaluation.ensemble else "single model",
        f"rsum {evaluation.metrics.rsum:.1f}",
    ]


def _make_rows(evaluation: Evaluation, examination: Examination) -> list[dict[str, Any]]:
    """Return the table: each figure, and the 95 % interval of the recalls over resampled images."""
    result = make_result("", Path(), Predictions({}, examination.queries))
    (figures,) = bootstrap([result.hits], result.weights)
    intervals = dict(zip(FIGURES, find_interval(figures).tolist(), strict=True))
    rows = []
    for way, metrics in (("i2t", evaluation.metrics.i2t), ("t2i", evaluation.metrics.t2i)):
        cells = []
        for label, figure in metrics.to_json().items():
            low, high = intervals.get(f"{way} {label}", (None, None))
            cells.append({"figure": f"{figure:.1f}", "interval": "" if low is None else f"{low:.1f} to {high:.1f}"})
        rows.append({"name": NAMES[way], "cells": cells})
    return rows


def _describe_ties(evaluation: Evaluation) -> str:
    ties, total = evaluation.metrics.ties, evaluation.images + evaluation.captions
    if not ties.total:
        return "No query is tied: no other candidate has exactly the score of the best match."
    return (
        f"{ties.total:,} of {total:,} queries are tied ({ties.i2t:,} image to text, {ties.t2i:,} text to image): "
        f"another candidate has exactly the score of the best match, and the rule {ties.rule} decides the rank."
    )


def _draw_ranks(by_way: Mapping[str, Sequence[Query]]) -> list[dict[str, Any]]:
    curves = [Line(NAMES[way], measure_curve(by_way[way]), dots=True) for way in DIRECTIONS]
    bars = [(NAMES[way], count_ranks(by_way[way])) for way in DIRECTIONS]
    labels = [f"{low}" if low == high else f"{low}–{high}" if high else f"{low}+" for low, high in BINS]
    highest = max(max(values) for _, values in bars)
    return [
        {
            "title": "Recall at K",
            "note": "Share of the queries with a match among the first K candidates.",
            "legend": [line.name for line in curves],
            "svg": draw_lines(
                "Recall at K", curves, Axis("K", 1, CURVE[-1], logarithmic=True), Axis("R@K, percent", 0, 100)
            ),
        },
        {
            "title": "Rank of the best match",
            "note": "How far down the best match stands. A long tail holds queries that the model does not understand, "
            "or captions that say little.",
            "legend": [name for name, _ in bars],
            "svg": draw_bars("Rank of the best match", labels, bars, "rank", Axis(PERCENT, 0, highest)),
        },
    ]


def _draw_scores(by_way: Mapping[str, Sequence[Query]], sample: ScoreSample) -> list[dict[str, Any]]:
    low = float(min(sample.matching.min(), sample.others.min()))
    high = float(max(sample.matching.max(), sample.others.max()))
    edges = np.linspace(low, high if high > low else low + 1, BARS + 1)
    series = []
    for name, values in (("pairs that match", sample.matching), ("other pairs", sample.others)):
        counts = np.histogram(values, edges)[0]
        series.append((name, (100 * counts / max(counts.sum(), 1)).tolist()))
    highest = max(max(values) for _, values in series)
    labels = [f"{edge:.2g}" for edge in edges[:-1].tolist()]
    charts = [
        {
            "title": "Scores",
            "note": f"Scores of {len(sample.matching):,} pairs that match and {len(sample.others):,} others. Where "
            "they overlap, a score alone does not tell whether a pair matches.",
            "legend": [name for name, _ in series],
            "svg": draw_bars("Scores", labels, series, "score", Axis("percent of the pairs", 0, highest)),
        }
    ]
    groups = {way: group_margins(by_way[way]) for way in DIRECTIONS}
    known = [way for way in DIRECTIONS if len(groups[way]) > 1]
    if known:
        count = min(len(groups[way]) for way in known)
        bars = [(NAMES[way], [group.right for group in groups[way][:count]]) for way in known]
        charts.append(
            {
                "title": "Calibration",
                "note": "Queries in groups of equal size, by the margin of the first candidate over the second. If the "
                "margin says how far a result can be trusted, the bars rise from left to right.",
                "legend": [name for name, _ in bars],
                "svg": draw_bars(
                    "Share of right first candidates by margin",
                    [f"{number + 1}" for number in range(count)],
                    bars,
                    "group, by growing margin",
                    Axis("first candidate right, percent", 0, 100),
                ),
            }
        )
    return charts


def _draw_history(history: History | None) -> list[dict[str, Any]]:
    if history is None:
        return []
    charts = []
    for title, name, points in (
        ("Loss in training", "loss of a batch", history.losses),
        ("Dev split in training", "rsum on dev", history.scores),
    ):
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            lines = [Line(name, points, dots=name == "rsum on dev")]
            low = min(values) - 0.1 * (max(values) - min(values))  # scores far above 0 differ little
            axes = Axis("step", 0, max(steps)), Axis(name, min(0, low) if name.startswith("loss") else low, max(values))
            charts.append({"title": title, "note": "", "legend": [], "svg": draw_lines(title, lines, *axes)})
    return charts


def _draw_sample(examination: Examination) -> str:
    sample, texts = examination.sample, list(examination.captions.values())
    images = [examination.image_ids[image] for image in sample.images.tolist()]
    return draw_matrix("Scores of images and captions", sample.matrix, images, [texts[c] for c in sample.captions])


def _make_lists(way: str, queries: Sequence[Query], examination: Examination) -> dict[str, Any]:
    best, worst = find_extremes(queries, LISTED)
    texts = examination.captions
    return {
        "name": NAMES[way],
        "parts": [
            {"title": title, "queries": [_describe(query, texts, examination) for query in found]}
            for title, found in (("Worst", worst), ("Best", best))
        ],
    }


def _describe(query: Query, texts: Mapping[str, str], examination: Examination) -> dict[str, Any]:
    show = examination.pictures.show
    asks_image = query.direction == "i2t"
    image = query.id if asks_image else query.id.rpartition("#")[0]
    return {
        "picture": show(image),
        "text": query.id if asks_image else query.text,
        "id": "" if asks_image else query.id,
        "rank": f"{query.rank:g}",
        "match": texts[query.matches[0]] if asks_image else "",
        "top": [
            {
                "text": texts[item] if asks_image else item,
                "picture": "" if asks_image else show(item),
                "score": f"{score:.3f}",
                "match": item in query.matches,
            }
            for item, score in list(zip(query.top, query.scores, strict=True))[:SHOWN]
        ],
    }


def _make_confusions(way: str, queries: Sequence[Query], examination: Examination) -> dict[str, Any]:
    found = find_confusions(queries, examination.captions)
    alike = sum(confusion.share >= ALIKE for confusion in found)
    listed = [
        {
            "right": one.right,
            "wrong": one.wrong,
            "share": f"{100 * one.share:.0f} %",
            "rank": f"{one.query.rank:g}",
            "pictures": [
                examination.pictures.show(name.partition("#")[0] if "#" in name else name)
                for name in (one.query.id, one.query.top[0])
            ],
        }
        for one in found[:LISTED]
        if one.share >= ALIKE
    ]
    return {"name": NAMES[way], "wrong": f"{len(found):,}", "alike": f"{alike:,}", "pairs": listed}
