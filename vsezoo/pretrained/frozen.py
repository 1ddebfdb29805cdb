"""Encoders with a frozen part, whose output for an image or caption stays the same during training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from vsezoo.batch import Embeddings
from vsezoo.pretrained.digests import digest_tensors
from vsezoo.pretrained.external import ExternalWeights


class FrozenPart(ExternalWeights, ABC):
    """Mixin for encoders, `class MyEncoder(FrozenPart, ImageEncoder)`, with `forward(x)` equal to `finish(extract(x))`.

    The external weights are those that `extract` uses. With `training.cache_frozen` it is computed once for each image
    or caption, from pictures that are prepared as for evaluation.

    Attributes:
        finishing: the options that `extract` does not depend on: what it gives is kept for runs that differ in these.
    """

    finishing: ClassVar[frozenset[str]] = frozenset()

    @abstractmethod
    def is_fixed(self) -> bool:
        """Return whether `extract` gives one tensor for each input, which training does not change."""

    @abstractmethod
    def extract(self, inputs: Any) -> Tensor:
        """Return the features `(B, ...)` of a batch, float32, each independent of the other inputs of the batch."""

    @abstractmethod
    def finish(self, features: Tensor) -> Tensor | Embeddings:
        """Return what `forward` does, of the features."""


def digest_frozen(encoder: nn.Module) -> str:
    """Return the SHA-256 of the external weights of a `FrozenPart`."""
    prefix = getattr(encoder, "external", "")
    return digest_tensors({name: tensor for name, tensor in encoder.state_dict().items() if name.startswith(prefix)})
