"""Picture pairs seen as feature pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vsezoo.data.view import PairView
from vsezoo.inputs import PairDataset


class FeaturePairs(PairView):
    """The features of pictures, computed by a backbone on demand.

    Args:
        pictures: the pairs.
        shape: shape of the features of a picture, `(F,)` or `(R, F)`.
        compute: returns the features `(N, *shape)` of pictures by index; None: they are never needed.
    """

    def __init__(
        self,
        pictures: PairDataset,
        shape: tuple[int, ...],
        compute: Callable[[PairDataset, Sequence[int] | np.ndarray], np.ndarray] | None = None,
    ) -> None:
        super().__init__(pictures)
        self.kind, self.image_shape, self.places = ("vector", "regions")[len(shape) - 1], shape, ()
        self._compute = compute

    def images(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the features of these indices, `(len(indices), *image_shape)` float32."""
        assert self._compute is not None
        return self._compute(self.data, indices)
