"""Pairs of pictures and captions, seen as pairs of features and captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vsezoo.interfaces import PairDataset


class FeaturePairs(PairDataset):
    """The features that a backbone makes of pictures, computed when they are asked for.

    Args:
        pictures: the pairs.
        shape: of the features of a picture, `(F,)` or `(R, F)`.
        compute: returns the features `(N, *shape)` of the pictures of some indices; None: they are never asked for.
    """

    def __init__(
        self,
        pictures: PairDataset,
        shape: tuple[int, ...],
        compute: Callable[[PairDataset, Sequence[int] | np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.name, self.split, self.kind = pictures.name, pictures.split, ("vector", "regions")[len(shape) - 1]
        self.captions, self.image_ids, self.image_of = pictures.captions, pictures.image_ids, pictures.image_of
        self.image_shape, self.skipped = shape, pictures.skipped
        self._pictures, self._compute = pictures, compute

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the features of these indices, `(len(indices), *image_shape)` float32."""
        assert self._compute is not None
        return self._compute(self._pictures, indices)
