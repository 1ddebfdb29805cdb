"""The metrics of each language, of data whose captions are in several."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from vsezoo.evaluation.metrics import LanguageMetrics, Metrics, average_metrics
from vsezoo.evaluation.ranks import Scorer, rank_pairs


class LanguageCollector:
    """Ranks the captions of each language, and the images that have some, with the scores of the whole split.

    Args:
        languages: of each caption `(M,)`; empty where it is not known.
        image_of: `(M,)`, the image of each caption.
        ties: the tie rule.
    """

    def __init__(self, languages: Sequence[str], image_of: np.ndarray, ties: str) -> None:
        self._languages, self._image_of, self._ties = np.array(languages, object), image_of, ties
        self._folds: dict[str, list[LanguageMetrics]] = {}

    @property
    def figures(self) -> dict[str, LanguageMetrics]:
        """The figures of each language."""
        return {language: _average(folds) for language, folds in sorted(self._folds.items())}

    def add(self, scorer: Scorer, images: np.ndarray, captions: np.ndarray, fold: int = 0) -> None:
        """Take the scores of a split or a fold, see `vsezoo.evaluation.protocols.Collect`."""
        languages, all_of = self._languages[captions], self._image_of[captions] - images[0]
        for language in set(languages.tolist()) - {""}:
            rows = np.flatnonzero(languages == language)
            its_images, image_of = np.unique(all_of[rows], return_inverse=True)
            ranks = rank_pairs(_select(scorer, its_images, rows), image_of, len(its_images), ties=self._ties)
            figures = LanguageMetrics(len(its_images), len(rows), Metrics.from_ranks(ranks, self._ties))
            self._folds.setdefault(language, []).append(figures)


def _average(folds: Sequence[LanguageMetrics]) -> LanguageMetrics:
    images, captions = sum(one.images for one in folds), sum(one.captions for one in folds)
    metrics = folds[0].metrics if len(folds) == 1 else average_metrics([one.metrics for one in folds])
    return LanguageMetrics(images, captions, metrics)


def _select(scorer: Scorer, images: np.ndarray, captions: np.ndarray) -> Scorer:
    """Return a scorer of some images and captions, of which it computes those between the first and the last."""

    def score(rows: slice, columns: slice) -> Tensor:
        chosen_images, chosen_captions = images[rows], captions[columns]
        (first_image, last_image), (first, last) = ((part[0], part[-1]) for part in (chosen_images, chosen_captions))
        block = scorer(slice(int(first_image), int(last_image) + 1), slice(int(first), int(last) + 1))
        return block[chosen_images - first_image][:, chosen_captions - first]

    return score
