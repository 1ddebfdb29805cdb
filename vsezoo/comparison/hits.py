"""Per-query results as arrays by image: what intervals and tests are computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.errors import DataError
from vsezoo.evaluation.predictions import EVALUATE, Predictions, Query, read_predictions
from vsezoo.storage.plain_file import require_path

Array = np.ndarray[Any, np.dtype[Any]]

RECALLS = (1, 5, 10)
COLUMNS = tuple((direction, k) for direction in ("i2t", "t2i") for k in RECALLS)
"""The six recalls, in the order of the columns of the arrays; rsum follows them as the seventh figure."""
FIGURES = (*(f"{direction} R@{k}" for direction, k in COLUMNS), "rsum")
NAMES = ("predictions.jsonl", "predictions.parquet")
"""The files that are looked for in the folder of a run."""


@dataclass(frozen=True)
class Result:
    """The results of one evaluation.

    The queries of an image are its own (`i2t`) and those of its captions (`t2i`). They are not independent of each
    other, so that the image is the unit that intervals resample and tests exchange.

    Attributes:
        name: in tables.
        file: where the predictions are.
        about: `Predictions.about`.
        queries: the predictions themselves, Q of them.
        ranks: `(Q,)` float64, the rank of the best match of each query, from 1.
        hits: `(N, 6)` float64, by image and column: the share of all queries of the direction that are queries of this
            image and have a match among the first K. Under `fold5` shares of a fold, divided by the number of folds.
        weights: `(N, 6)`, the same for all queries of the image, whether they have a match there or not: sums to 1.
    """

    name: str
    file: Path
    about: Mapping[str, Any]
    queries: Sequence[Query]
    ranks: Array
    hits: Array
    weights: Array

    @property
    def evaluation(self) -> Mapping[str, Any]:
        """The figures with their labels."""
        evaluation: Mapping[str, Any] = self.about["evaluation"]
        return evaluation

    @property
    def keys(self) -> list[tuple[str, str]]:
        """Direction and id of each query; equal for evaluations that may be compared."""
        return [(query.direction, query.id) for query in self.queries]


def read_result(name: str, path: Path) -> Result:
    """Read the predictions of an evaluation.

    Args:
        name: in tables.
        path: a file of predictions, or the folder of a run or a checkpoint that has one.

    Raises:
        DataError: if there are none, or they cannot be read.
    """
    file = find_file(path)
    predictions = read_predictions(file)
    missing = {"evaluation", "ground_truth", "images", "recipes"} - set(predictions.about)
    directions = {query.direction for query in predictions.queries}
    if missing or directions != {"i2t", "t2i"}:
        raise DataError("is not a complete file of predictions.", file=file, remedy=EVALUATE)
    return make_result(name, file, predictions)


def make_result(name: str, file: Path, predictions: Predictions) -> Result:
    """Return the result of predictions of both directions.

    Args:
        name: in tables.
        file: where they are.
        predictions: what they are.
    """
    queries = predictions.queries
    ranks = np.array([query.rank for query in queries], np.float64)
    hits, weights = _sum_by_image(queries, ranks)
    return Result(name, file, predictions.about, queries, ranks, hits, weights)


def find_file(path: Path) -> Path:
    """Return the file of predictions at a path, or in the folder there.

    Raises:
        DataError: if there is none.
    """
    require_path(path, "Give a file of predictions, or the folder of a run.")
    if not path.is_dir():
        return path
    for folder in (path, path.parent) if path.name == "best" else (path, path / "best"):
        for name in NAMES:
            if (folder / name).is_file():
                return folder / name
    remedy = f"Write them: vsezoo eval {path} --predictions {path / NAMES[0]}"
    if (path / "last").is_dir():  # of a run, whose end would have written them
        remedy = f"If it was stopped, continue it with --resume, or by the command of its sweep. Otherwise: {remedy}"
    raise DataError(f"has no predictions ({' or '.join(NAMES)}).", file=path, remedy=remedy)


def measure(hits: Array, weights: Array) -> Array:
    """Return the seven figures `(7, ...)` from sums of hits and weights `(6, ...)`: recalls in percent, and rsum."""
    recalls = 100 * hits / np.maximum(weights, 1e-300)
    return np.concatenate([recalls, recalls.sum(0, keepdims=True)])


def _sum_by_image(queries: Sequence[Query], ranks: Array) -> tuple[Array, Array]:
    """Return `hits` and `weights`."""
    images = {query.id: None for query in queries if query.direction == "i2t"}
    owners = [query.id if query.direction == "i2t" else query.id.rpartition("#")[0] for query in queries]
    rows = {image: row for row, image in enumerate(dict.fromkeys([*images, *owners]))}
    row = np.array([rows[owner] for owner in owners])
    block = np.array([2 * query.fold + (query.direction == "t2i") for query in queries])
    sizes, folds = np.bincount(block), len({query.fold for query in queries})
    share = 1 / (sizes[block] * folds)
    hits, weights = np.zeros((len(rows), len(COLUMNS))), np.zeros((len(rows), len(COLUMNS)))
    for column, (direction, k) in enumerate(COLUMNS):
        chosen = block % 2 == (direction == "t2i")
        weights[:, column] = np.bincount(row[chosen], share[chosen], len(rows))
        hits[:, column] = np.bincount(row[chosen], (share * (ranks < k + 1))[chosen], len(rows))
    return hits, weights
