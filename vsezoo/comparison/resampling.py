"""Bootstrap intervals over queries, and a paired test of two models on the same queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vsezoo.comparison.hits import COLUMNS, measure

Array = np.ndarray[Any, np.dtype[Any]]

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 64
"""Resamples at a time: their counts stay in the cache."""


def bootstrap(hits: Sequence[Array], weights: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Return the figures of models on resampled images, the same ones for each model (Efron 1979).

    Images are drawn with replacement, each with all its queries: its captions are not independent of each other, and
    intervals that resample them one by one are too narrow.

    Args:
        hits: `(N, 6)` of each of G models, see `Result`.
        weights: `(N, 6)` of all of them.
        resamples: B.
        seed: of the draws.

    Returns:
        `(G, 7, B)`: six recalls in percent, and rsum.
    """
    count, width = len(weights), len(COLUMNS)
    values = np.concatenate([*hits, weights], axis=1).astype(np.float32)
    sums = np.concatenate([counts @ values for counts in _draw_counts(count, resamples, seed)]).T.astype(np.float64)
    blocks = sums.reshape(len(hits) + 1, width, resamples)
    return np.stack([measure(block, blocks[-1]) for block in blocks[:-1]])


def find_interval(values: Array, level: float = LEVEL) -> Array:
    """Return the percentile interval of resampled figures `(..., B)`: `(..., 2)`."""
    tail = (1 - level) / 2
    return np.moveaxis(np.quantile(values, [tail, 1 - tail], axis=-1), 0, -1)


def compare_pairs(first: Array, second: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Return two-sided p-values of a paired randomization test for the seven figures (Fisher 1935; Noreen 1989).

    The null hypothesis: for each image, the results of both models could as well be exchanged. So the difference of
    each image gets a random sign; p is the share of the sums that are at least as far from 0 as the observed one, which
    counts as one of them.

    Args:
        first: `(N, 6)` hits of one model.
        second: of the other, on the same images.
        resamples: random signs for all images.
        seed: of the signs.
    """
    recalls = second - first
    differences = np.concatenate([recalls, recalls.sum(1, keepdims=True)], axis=1)
    total, scale = differences.sum(0), np.abs(differences).sum(0)
    random = np.random.Generator(np.random.SFC64(seed))
    extreme, left, narrow = np.zeros(len(total), np.int64), resamples, differences.astype(np.float32)
    while left:
        number = min(CHUNK, left)
        bits = np.unpackbits(np.frombuffer(random.bytes(number * -(-len(first) // 8)), np.uint8).reshape(number, -1), 1)
        signed = 2 * (bits[:, : len(first)].astype(np.float32) @ narrow) - total
        extreme += (np.abs(signed) >= np.abs(total) - 1e-5 * scale).sum(0)  # float32 must not part equal sums
        left -= number
    return (1 + extreme) / (1 + resamples)


def adjust_holm(p_values: Array) -> Array:
    """Return p-values `(T, ...)` adjusted for T tests, each column by itself (Holm 1979)."""
    order = np.argsort(p_values, axis=0, kind="stable")
    ranked = np.take_along_axis(p_values, order, 0)
    factors = np.arange(len(p_values), 0, -1).reshape(-1, *[1] * (p_values.ndim - 1))
    adjusted = np.minimum(np.maximum.accumulate(ranked * factors, axis=0), 1)
    result = np.empty_like(adjusted)
    np.put_along_axis(result, order, adjusted, 0)
    return result


def _draw_counts(count: int, resamples: int, seed: int) -> Any:
    """Yield how often each of `count` images is in each resample, `(n, count)` float32."""
    random = np.random.Generator(np.random.SFC64(seed))
    offsets = np.arange(CHUNK)[:, None] * count
    for start in range(0, resamples, CHUNK):
        number = min(CHUNK, resamples - start)
        drawn = random.integers(0, count, (number, count)) + offsets[:number]
        yield np.bincount(drawn.ravel(), minlength=number * count).reshape(number, count).astype(np.float32)
