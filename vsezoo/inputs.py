"""What a model is given: data sets and tokenizers, the parts that know no tensor and are loaded without torch.

The names are also in `vsezoo.interfaces`, which says what the sizes B, L, R, F and N are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

KINDS = ("vector", "regions", "picture")
"""The forms of an image: one feature `(F,)`, a set of features `(R, F)`, or a picture (`PIL.Image.Image`)."""


class PairDataset(ABC):
    """The images and captions of one split. Knows no vocabulary and no tensor.

    Attributes:
        name: the data set, as recipes name it in their overrides.
        split: `train`, `dev`, `test`, …
        kind: the form of its images, one of `KINDS`.
        captions: one `str` each.
        image_ids: one for each distinct image.
        image_of: `(len(captions),)` int64, which image each caption describes. Captions of one image are consecutive.
        image_shape: of one image: `(F,)`, `(R, F)` (the largest R), or `(height, width, 3)`; empty if pictures differ.
        skipped: reasons by the ids of images that were skipped when the split was opened.
        extraction: how the features were extracted, as JSON values by dotted name, such as `backbone.sha256`; empty if
            unknown. Stored in the checkpoint. vsezoo warns when evaluation features were extracted differently.
        languages: of each caption, such as `en`; empty if the data do not name them.
        places: where each image is, a `vsezoo.data.pictures.picture_file.Place`; empty if images are not picture files.
    """

    name: str
    split: str
    kind: str
    captions: Sequence[str]
    image_ids: Sequence[str]
    image_of: np.ndarray
    image_shape: tuple[int, ...]
    skipped: Mapping[str, str] = MappingProxyType({})
    extraction: Mapping[str, Any] = MappingProxyType({})
    places: Sequence[Any] = ()
    languages: Sequence[str] = ()

    def __repr__(self) -> str:
        """Return the sizes in one line."""
        images = f"{len(self.image_ids):,} images ({self.kind}, {' x '.join(map(str, self.image_shape)) or 'any size'})"
        return f"<{type(self).__name__} {self.name}, {self.split}: {images}, {len(self.captions):,} captions>"

    @property
    def all_captions(self) -> Sequence[str]:
        """The captions of the whole split, for the vocabulary; `captions` may be those of its first images only."""
        return self.captions

    @property
    def account(self) -> Mapping[str, Any]:
        """An account of the data set's files, as JSON values; commands print its `summary`."""
        return MappingProxyType({})

    @abstractmethod
    def images(self, indices: Sequence[int] | np.ndarray) -> Any:
        """Return the images of these indices, in their order.

        Returns:
            float32 or float16 features `(len(indices), *image_shape)`, a list `(R_i, F)` of sets, or one of pictures.
        """


class Tokenizer(ABC):
    """Converts captions to token ids; stored in the checkpoint as separate files."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self):,} ids>"

    def split(self, captions: Sequence[str]) -> list[Any]:
        """Split captions into the input of `fit` and `encode_split`. Called once for each caption of a training run."""
        return list(captions)

    def fit(self, split_captions: Sequence[Any]) -> None:
        """Fit to captions, for example by building a vocabulary. By default, nothing."""

    def knows(self, caption: str) -> bool:
        """Return whether a caption contains a word that the tokenizer knows. By default, True."""
        return True

    @abstractmethod
    def encode_split(self, split_captions: Sequence[Any]) -> list[np.ndarray]:
        """Return the ids of each caption, an int32 array `(length,)` with `length >= 1`."""

    def encode(self, captions: Sequence[str]) -> list[np.ndarray]:
        """Return the ids of each caption."""
        return self.encode_split(self.split(captions))

    @abstractmethod
    def to_files(self) -> Mapping[str, bytes]:
        """Return the files of the tokenizer by their names in a checkpoint folder."""

    @classmethod
    @abstractmethod
    def from_files(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer from a checkpoint folder."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of ids."""
