"""A sample of the scores that a split is ranked by: how those of matching pairs differ from the others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vsezoo.evaluation.ranks import Scorer
from vsezoo.inputs import PairDataset

IMAGES = 200
"""Images whose scores with all captions are looked at."""
SHOWN = 24
"""Images in the matrix, each with its first caption."""


@dataclass(frozen=True)
class ScoreSample:
    """Scores of some images, evenly spaced over the split.

    Attributes:
        matching: `(P,)` float32, with their own captions.
        others: `(Q,)` float32, with all other captions.
        matrix: `(n, n)` float32, of `n` images (rows) with the first caption of each of them (columns).
        images: `(n,)` which images of the split these are.
        captions: `(n,)` which captions.
    """

    matching: np.ndarray
    others: np.ndarray
    matrix: np.ndarray
    images: np.ndarray
    captions: np.ndarray


def take_sample(data: PairDataset, scorer: Scorer, images: np.ndarray, captions: np.ndarray) -> ScoreSample:
    """Take the sample from what is ranked: all of a split, or a fold.

    Args:
        data: the split.
        scorer: scores of these images and captions.
        images: `(n,)` which images of the split they are.
        captions: `(m,)` which captions.
    """
    image_of = np.searchsorted(images, np.asarray(data.image_of)[captions])
    chosen = _space(len(images), IMAGES)
    every = slice(0, len(captions))
    rows = [scorer(slice(row, row + 1), every).float().cpu().numpy()[0] for row in chosen.tolist()]
    scores = np.stack(rows)
    own = image_of == chosen[:, None]
    shown = _space(len(chosen), SHOWN)
    firsts = np.array([np.flatnonzero(own[row])[0] for row in shown])
    matrix = scores[np.ix_(shown, firsts)]
    return ScoreSample(scores[own], scores[~own], matrix, images[chosen[shown]], captions[firsts])


def _space(count: int, most: int) -> np.ndarray:
    """Return up to `most` indices, evenly spaced over `count`."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
