"""The first candidates of each query, found block by block, so that the scores of all pairs are never held."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import torch

from vsezoo.evaluation.matches import select_top
from vsezoo.evaluation.protocol import Score

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK = 512
"""Captions or images that are scored at a time."""


def find_first(score: Score, images: Sequence[int], captions: Sequence[str], count: int) -> tuple[Array, Array]:
    """Return the first candidates of images and of captions; of equal scores, the lower index comes first.

    Args:
        score: the scores of a model.
        images: N images, by their indices in the data set.
        captions: M of them.
        count: how many candidates to find.

    Returns:
        places among the captions, `(N, count)`, and among the images, `(M, count)`; fewer columns if there are fewer.
    """
    best, places, of_captions = torch.empty(len(images), 0), torch.empty(len(images), 0, dtype=torch.int64), []
    for start in range(0, len(captions), BLOCK):
        scores = torch.from_numpy(score(images, captions[start : start + BLOCK]))
        of_captions.append(select_top(scores.T, count)[0])
        chosen, best = select_top(torch.cat([best, scores], 1), count)  # earlier captions stand before the block
        block = torch.arange(start, start + scores.shape[1]).expand(len(images), -1)
        places = torch.cat([places, block], 1).gather(1, chosen)
    return places.numpy(), torch.cat(of_captions).numpy()


def find_alike(
    compare: Callable[[Sequence[Any], Sequence[Any]], Array], items: Sequence[Any], wanted: Sequence[int], count: int
) -> Array:
    """Return the first candidates of some items among all others of their kind, `(len(wanted), count)`.

    Args:
        compare: the scores of items of one kind.
        items: all of them.
        wanted: places of those that are queries; an item is not a candidate of itself.
        count: how many candidates to find.
    """
    found = []
    for start in range(0, len(wanted), BLOCK):
        rows = wanted[start : start + BLOCK]
        scores = torch.from_numpy(compare([items[row] for row in rows], items)).clone()
        scores[torch.arange(len(rows)), torch.tensor(rows)] = -torch.inf
        found.append(select_top(scores, count)[0])
    return torch.cat(found).numpy()


def rank_matches(first: Iterable[Any], matches: Collection[Any]) -> tuple[float, ...]:
    """Return the ranks of all matches of a query, from 1 and ascending, as `query_metrics` takes them.

    A match that is not among the first candidates has the rank infinity: no candidate at all, or one beyond those that
    were looked for.
    """
    ranks = [place for place, item in enumerate(first, start=1) if item in matches]
    return (*map(float, ranks), *[math.inf] * (len(matches) - len(ranks)))
