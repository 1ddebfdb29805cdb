"""Vectors of images and captions, as tensors or as NumPy arrays: what most callers of a model want."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Literal, overload

import numpy as np
from torch import Tensor

from vsezoo.batch import Embeddings

Array = np.ndarray[Any, np.dtype[np.float32]]


class EncodesVectors:
    """The methods of a model that return one vector for each image or caption."""

    @abstractmethod
    def embed_images(self, images: Any, batch_size: int = 256, *, sets: bool | None = None) -> Embeddings:
        """Return the joint embeddings of images."""

    @abstractmethod
    def embed_texts(
        self, texts: Iterable[str], batch_size: int | None = None, *, sets: bool | None = None
    ) -> Embeddings:
        """Return the joint embeddings of captions."""

    @abstractmethod
    def embed_tokens(
        self, captions: Sequence[np.ndarray], batch_size: int | None = None, *, sets: bool | None = None
    ) -> Embeddings:
        """Return the joint embeddings of captions given as ids."""

    @overload
    def encode_images(self, images: Any, batch_size: int = ..., *, as_numpy: Literal[False] = ...) -> Tensor: ...

    @overload
    def encode_images(self, images: Any, batch_size: int = ..., *, as_numpy: Literal[True]) -> Array: ...

    def encode_images(self, images: Any, batch_size: int = 256, *, as_numpy: bool = False) -> Tensor | Array:
        """Return the vectors of images, `(N, D)` float32, on the model's device; see `embed_images`.

        Args:
            images: features as an array or a tensor, or a list of pictures, as the model was trained on.
            batch_size: images encoded at a time.
            as_numpy: return a NumPy array.
        """
        vectors = self.embed_images(images, batch_size, sets=False).embeddings
        return vectors.cpu().numpy() if as_numpy else vectors

    @overload
    def encode_texts(
        self, texts: Iterable[str], batch_size: int | None = ..., *, as_numpy: Literal[False] = ...
    ) -> Tensor: ...

    @overload
    def encode_texts(self, texts: Iterable[str], batch_size: int | None = ..., *, as_numpy: Literal[True]) -> Array: ...

    def encode_texts(
        self, texts: Iterable[str], batch_size: int | None = None, *, as_numpy: bool = False
    ) -> Tensor | Array:
        """Return the vectors of captions, `(M, D)` float32, on the model's device; see `embed_texts`.

        Args:
            texts: captions as plain strings.
            batch_size: captions encoded at a time; None: as many as the encoder prefers.
            as_numpy: return a NumPy array.
        """
        vectors = self.embed_texts(texts, batch_size, sets=False).embeddings
        return vectors.cpu().numpy() if as_numpy else vectors

    def encode_tokens(self, captions: Sequence[np.ndarray], batch_size: int | None = None) -> Tensor:
        """Return the vectors `(M, D)` of captions given as ids."""
        return self.embed_tokens(captions, batch_size, sets=False).embeddings
