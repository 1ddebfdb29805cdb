"""What a registered protocol is: another way to measure a model than recall over a split's own captions.

Register an instance through an entry point of the group `vsezoo.protocols`; `vsezoo eval --protocol NAME` finds it.
"""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vsezoo.inputs import PairDataset


class Score(typing.Protocol):
    """The scores of a model, or of an ensemble. Images and captions stay encoded as long as the same are asked for.

    Attributes:
        compares_alike: whether `compare_captions` and `compare_images` are possible.
    """

    compares_alike: bool

    def __call__(self, images: Sequence[int], captions: Sequence[str]) -> np.ndarray:
        """Return the scores `(n, m)`, float32; the higher, the better they fit.

        Args:
            images: n images of the data set, by their indices.
            captions: m captions, which need not be those of the data set.
        """

    def compare_captions(self, captions: Sequence[str], others: Sequence[str]) -> np.ndarray:
        """Return the scores `(n, m)` of captions with captions, by the model's similarity.

        A similarity that is not symmetric counts as the mean of both directions.

        Raises:
            UsageError: for a model whose similarity compares sets of regions and words.
        """

    def compare_images(self, images: Sequence[int], others: Sequence[int]) -> np.ndarray:
        """Return the scores `(n, m)` of images with images, likewise."""


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

    def open_images(self, folder: Path) -> PairDataset | None:
        """Return the images that the protocol has itself; None, as by default, if they are those of a data set.

        Args:
            folder: with the protocol's own files.

        Raises:
            DataError: if files are missing or damaged.
        """
        return None

    @abstractmethod
    def measure(self, score: Score, data: PairDataset, folder: Path) -> Mapping[str, float]:
        """Return the figures by name; the first one is the protocol's main figure.

        Args:
            score: the scores of the model, or of an ensemble.
            data: the split, or what `open_images` returned.
            folder: with the protocol's own files, such as judgements.

        Raises:
            DataError: if files are missing or damaged, or the split lacks images that they are about.
        """
