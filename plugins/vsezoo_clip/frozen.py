"""What the towers of both sides share: frozen unless they are fine-tuned, and then not stored in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.pretrained.external import ExternalWeights


class FrozenTower(ExternalWeights):
    """Mixin of encoders whose pretrained network is `tower`.

    Attributes:
        tower: the network, with its pooling and its projection.
        finetune: whether it is trained.
        learning_rate_scale: its learning rate, as a multiple of `training.learning_rate`.
        normalize: whether embeddings are scaled to unit length.
        store_weights: whether checkpoints hold the network although it is frozen.
    """

    external: ClassVar[str] = "tower."
    tower: nn.Module
    finetune: bool
    learning_rate_scale: float
    normalize: bool
    store_weights: bool

    @classmethod
    def native_width(cls, options: Mapping[str, Any]) -> int | None:
        """Return the width that the pretrained weights have; None: it is not known."""
        return options.get("width") or None

    def freeze(self) -> None:
        """Have the tower receive gradients only if it is to be trained."""
        self.tower.requires_grad_(self.finetune)

    def skips_external_weights(self) -> bool:
        """Return whether the tower is to stay as its source has it."""
        return not self.finetune and not self.store_weights

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Return the multiple for the tower."""
        return {self.external: self.learning_rate_scale}

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a frozen tower stays in eval mode."""
        super().train(mode)  # type: ignore[misc] # of torch.nn.Module, which the encoder is
        self.tower.train(mode and self.finetune)
        return self

    def embed(self, *inputs: Tensor, **named: Tensor | None) -> Tensor:
        """Return the embeddings `(B, D)` that the tower gives, scaled; in training, without a graph if it is frozen.

        In eval mode, whoever calls with a graph wants it: the gradient of pixels explains a score.
        """
        with torch.set_grad_enabled((self.finetune or not self.training) and torch.is_grad_enabled()):  # type: ignore[attr-defined] # of torch.nn.Module
            return self.scale(self.tower(*inputs, **named))

    def scale(self, vectors: Tensor) -> Tensor:
        """Return vectors in float32, of unit length if they are to be; a zero vector stays one."""
        vectors = vectors.float()
        return functional.normalize(vectors, dim=-1) if self.normalize else vectors
