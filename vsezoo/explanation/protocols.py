"""What parts may offer to `vsezoo explain`, in addition to what `vsezoo.interfaces` requires of them.

None of these methods is required, and no class needs to be extended: a part that has the method offers it. Without
any of them, a model is explained by the gradient of its score, and regions are shown by their numbers.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.data.kinds import ShowsPictures as ShowsPictures

Box = tuple[float, float, float, float]
"""Left, top, right, bottom, as shares of the width and height of a picture."""


@runtime_checkable
class Attends(Protocol):
    """A similarity over sets that shows its attention.

    A class attribute or property `attends` says which side distributes it: "words" (the default), so that the weights
    of a word over all regions add up to 1, or "regions", so that those of a region over all words do.
    """

    def attention(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the weights `(N, M, L, R)` of R regions for L words, 0 or more, in eval mode; 0 for padding.

        Args:
            images: sets of regions of N images, perhaps padded.
            texts: sets of words of M captions, perhaps padded.
        """


@runtime_checkable
class NamesTokens(Protocol):
    """A tokenizer that shows what its ids stand for."""

    def name_tokens(self, caption: str) -> list[str]:
        """Return a text for each id that `encode` gives for a caption."""


@runtime_checkable
class FindsView(Protocol):
    """An image encoder for pictures that shows which part of a picture it sees."""

    def find_view(self, width: int, height: int) -> Box | None:
        """Return the part of a picture of this size that it sees, as shares; None: several parts, or unknown."""


@runtime_checkable
class LocatesRegions(Protocol):
    """A data set whose regions have places."""

    def boxes(self, index: int) -> np.ndarray | None:
        """Return the boxes `(R, 4)` of the regions of an image: left, top, right, bottom.

        They are in pixels, or, if none is above 1, shares of width and height; NaN for a region without a place.
        None: unknown.
        """
