"""The metrics of each language, of data whose captions are in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vsezoo.evaluation.metrics import Metrics
from vsezoo.evaluation.ranks import Scorer, rank_pairs


@dataclass(frozen=True)
class LanguageMetrics:
    """The figures of a language.

    Attributes:
        images: number of images with captions in it.
        captions: number of these.
        metrics: of these images and captions alone.
    """

    images: int
    captions: int
    metrics: Metrics

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {"images": self.images, "captions": self.captions, **self.metrics.to_json()}


class LanguageCollector:
    """Ranks the captions of each language, and the images that have some, with the scores of the whole split.

    Args:
        languages: of each caption `(M,)`; empty where it is not known.
        image_of: `(M,)`, the image of each caption.
        ties: the tie rule.
    """

    def __init__(self, languages: Sequence[str], image_of: np.ndarray, ties: str) -> None:
        self._languages, self._image_of, self._ties = np.array(languages, object), image_of, ties
        self.figures: dict[str, LanguageMetrics] = {}

    def add(self, scorer: Scorer, images: np.ndarray, captions: np.ndarray, fold: int = 0) -> None:
        """Take the scores of a split, see `vsezoo.evaluation.protocols.Collect`."""
        for language in sorted(set(self._languages.tolist()) - {""}):
            rows = np.flatnonzero(self._languages == language)
            its_images, image_of = np.unique(self._image_of[rows], return_inverse=True)
            ranks = rank_pairs(_select(scorer, its_images, rows), image_of, len(its_images), ties=self._ties)
            self.figures[language] = LanguageMetrics(len(its_images), len(rows), Metrics.from_ranks(ranks, self._ties))


def _select(scorer: Scorer, images: np.ndarray, captions: np.ndarray) -> Scorer:
    """Return a scorer of some images and captions, of which it computes those between the first and the last."""

    def score(rows: slice, columns: slice) -> Tensor:
        chosen_images, chosen_captions = images[rows], captions[columns]
        (first_image, last_image), (first, last) = ((part[0], part[-1]) for part in (chosen_images, chosen_captions))
        block = scorer(slice(int(first_image), int(last_image) + 1), slice(int(first), int(last) + 1))
        return block[chosen_images - first_image][:, chosen_captions - first]

    return score
