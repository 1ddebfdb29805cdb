"""Watch an evaluation, and write its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vsezoo.comparison.pictures import Pictures
from vsezoo.evaluation.collection import Collector, name_captions
from vsezoo.evaluation.predictions import Query
from vsezoo.evaluation.ranks import Scorer
from vsezoo.explanation.protocols import ShowsPictures
from vsezoo.inputs import PairDataset
from vsezoo.reports.sample import ScoreSample, take_sample

TOP = 10
"""Candidates of a query that are kept: the second one gives the margin, the first few are shown."""


class Examination:
    """Sees what an evaluation ranks; `vsezoo.evaluation.evaluate.evaluate` takes its method `begin`.

    Args:
        ties: the tie rule of the evaluation.
        images: a folder with the pictures, whose names are the ids of the images; None: only those of the data.
    """

    def __init__(self, ties: str = "lower_index", images: Path | None = None) -> None:
        self._ties = ties
        self._folder = None if images is None else Pictures.of_folder(images)  # before anything is computed
        self._sample: ScoreSample | None = None

    def begin(self, data: PairDataset) -> Examination:
        """Start with a split, and return what is called with what is ranked."""
        self._data, self._collector = data, Collector(data, TOP, self._ties)
        self.pictures = self._folder or Pictures(_find_in(data))
        return self

    def __call__(self, scorer: Scorer, images: np.ndarray, captions: np.ndarray, fold: int = 0) -> None:
        """Take a part of the split, or all of it; see `Collector.add`."""
        self._collector.add(scorer, images, captions, fold)
        if self._sample is None:  # of several folds the first
            self._sample = take_sample(self._data, scorer, images, captions)

    @property
    def queries(self) -> Sequence[Query]:
        """The queries of both directions."""
        return self._collector.queries

    @property
    def sample(self) -> ScoreSample:
        """The sample of the scores."""
        if self._sample is None:
            raise ValueError("nothing has been ranked")
        return self._sample

    @property
    def captions(self) -> Mapping[str, str]:
        """The captions of the split by id."""
        return dict(zip(name_captions(self._data), self._data.captions, strict=True))

    @property
    def image_ids(self) -> Sequence[str]:
        """The ids of the images of the split."""
        return self._data.image_ids


def _find_in(data: PairDataset) -> Any:
    """Return what finds the picture of an image in its data set."""
    if data.kind != "picture" and not isinstance(data, ShowsPictures):
        return lambda image: None
    rows = {image: row for row, image in enumerate(data.image_ids)}

    def find(image: str) -> Any:
        row = rows[image]
        return data.images([row])[0] if data.kind == "picture" else data.picture(row)  # type: ignore[attr-defined]

    return find
