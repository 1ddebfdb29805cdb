"""What a registered protocol is: another way to measure a model than recall over a split's own captions.

Register an instance through an entry point of the group `vsezoo.protocols`; `vsezoo eval --protocol NAME` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vsezoo.interfaces import PairDataset

Score = Callable[[Sequence[int], Sequence[str]], np.ndarray]
"""Gives the scores `(n, m)`, float32, of n images of the data set, by their indices, and m captions, which need not be
those of the data set; the higher, the better they fit. Images stay encoded as long as the same ones are asked for."""


class Protocol(ABC):
    """A way to measure a model.

    Attributes:
        name: by which it is registered.
        summary: one sentence.
        split: of the data set, whose images it needs.
    """

    name: str
    summary: str
    split: str = "test"

    @abstractmethod
    def measure(self, score: Score, data: PairDataset, folder: Path) -> Mapping[str, float]:
        """Return the figures by name; the first one is the protocol's main figure.

        Args:
            score: the scores of the model, or of an ensemble.
            data: the split.
            folder: with the protocol's own files, such as judgements.

        Raises:
            DataError: if files are missing or damaged, or the split lacks images that they are about.
        """
