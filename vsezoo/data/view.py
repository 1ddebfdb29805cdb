"""A wrapper around a split that changes some of its properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vsezoo.inputs import PairDataset

ABSENT = object()


class PairView(PairDataset):
    """The pairs of another split. A subclass sets or overrides what differs.

    Args:
        data: the wrapped split.
    """

    def __init__(self, data: PairDataset) -> None:
        self.data = data
        for name in PairDataset.__annotations__:
            value = getattr(data, name)
            if value is not getattr(PairDataset, name, ABSENT):  # defaults are not all of a kind that can be pickled
                setattr(self, name, value)

    @property
    def all_captions(self) -> Sequence[str]:
        """The captions of the whole split."""
        return self.data.all_captions

    @property
    def account(self) -> Mapping[str, Any]:
        """The account of the data set."""
        return self.data.account

    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Return the images at these indices."""
        return self.data.images(indices)
