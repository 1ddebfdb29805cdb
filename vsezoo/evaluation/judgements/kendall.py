"""Kendall's rank correlation with ties, exact. SciPy has it as well, and is 150 MB that nothing else here needs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def correlate(scores: Array, judgements: Array) -> tuple[float, float]:
    """Return tau-b and tau-c of two variables (Kendall 1945; Stuart 1953), from -1 to 1.

    With P and Q pairs in the same and in the opposite order, n points, and m the smaller number of distinct values:

    - tau-b = (P - Q) / sqrt(pairs that differ in the scores · pairs that differ in the judgements),
    - tau-c = 2 (P - Q) m / (n² (m - 1)).

    The time grows with the square of the number of distinct judgements, which is small.

    Args:
        scores: `(n,)`.
        judgements: `(n,)`.

    Returns:
        NaN for both if a variable is constant.
    """
    levels, level_of = np.unique(judgements, return_inverse=True)
    values, counts = np.unique(scores, return_counts=True)
    if len(levels) < 2 or len(values) < 2:
        return math.nan, math.nan
    sorted_scores = [np.sort(scores[level_of == level]) for level in range(len(levels))]
    surplus = 0  # P - Q
    for high in range(1, len(levels)):
        for low in range(high):
            below = np.searchsorted(sorted_scores[low], sorted_scores[high], "left").sum()
            above = len(sorted_scores[low]) * len(sorted_scores[high])
            above -= np.searchsorted(sorted_scores[low], sorted_scores[high], "right").sum()
            surplus += int(below) - int(above)
    number = len(scores)
    pairs = number * (number - 1) // 2
    differ = [pairs - int((sizes * (sizes - 1) // 2).sum()) for sizes in (counts, np.bincount(level_of))]
    smaller = min(len(levels), len(values))
    return surplus / math.sqrt(differ[0] * differ[1]), 2 * surplus * smaller / (number**2 * (smaller - 1))
