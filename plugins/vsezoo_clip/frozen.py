"""What the towers of both sides share: frozen unless they are fine-tuned, and then not stored in checkpoints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.errors import RecipeError
from vsezoo.interfaces import TextEncoder, Weights
from vsezoo.pretrained.frozen import FrozenPart
from vsezoo_clip.library import NEEDED
from vsezoo_clip.tokenizer import DualTokenizer


class PretrainedTower(nn.Module, ABC):
    """A network with its pooling and projection: gives vectors `(B, D)`, not scaled."""

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Take the tensors from the file of the dual encoder, in float32.

        Raises:
            CheckpointError: for tensors that are missing, unknown or of another shape.
        """


class FrozenTower(FrozenPart):
    """Mixin of encoders whose pretrained network is `tower`.

    Attributes:
        tower: the network, with its pooling and its projection.
        finetune: whether it is trained.
        learning_rate_scale: its learning rate, as a multiple of `training.learning_rate`.
        normalize: whether embeddings are scaled to unit length.
        store_weights: whether checkpoints hold the network although it is frozen.
    """

    external: ClassVar[str] = "tower."
    tower: PretrainedTower
    finetune: bool
    learning_rate_scale: float
    normalize: bool
    store_weights: bool

    @classmethod
    def native_width(cls, options: Mapping[str, Any]) -> int | None:
        """Return the width that the pretrained weights have; None: it is not known."""
        return options.get("width") or None

    def set_tower(
        self,
        tower: PretrainedTower,
        *,
        finetune: bool,
        learning_rate_scale: float,
        normalize: bool,
        store_weights: bool,
    ) -> None:
        """Set the attributes. The tower receives gradients only if it is to be trained."""
        self.tower = tower.requires_grad_(finetune)
        self.finetune, self.learning_rate_scale = finetune, learning_rate_scale
        self.normalize, self.store_weights = normalize, store_weights

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Take the tower from the file of the dual encoder; see `PretrainedTower.load`."""
        if weights is not None:
            self.tower.load(weights)

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

    def is_fixed(self) -> bool:
        """Return whether the tower is not trained."""
        return not self.finetune

    def forward(self, inputs: Any) -> Tensor:
        """Return the joint embeddings `(B, D)` of what `extract` takes."""
        return self.finish(self.extract(inputs))

    def run_tower(self, *inputs: Tensor, **named: Tensor | None) -> Tensor:
        """Return the vectors `(B, D)` that the tower gives, in float32; in training, without a graph if it is frozen.

        In eval mode, whoever calls with a graph wants it: the gradient of pixels explains a score.
        """
        with torch.set_grad_enabled((self.finetune or not self.training) and torch.is_grad_enabled()):  # type: ignore[attr-defined] # of torch.nn.Module
            vectors: Tensor = self.tower(*inputs, **named)
            return vectors.float()

    def finish(self, features: Tensor) -> Tensor:
        """Return vectors of unit length if they are to be; a zero vector stays one."""
        return functional.normalize(features, dim=-1) if self.normalize else features


class FrozenTextTower(FrozenTower, TextEncoder):
    """A text encoder with such a network, whose tokenizer is that of the pretrained weights."""

    tokenizer: DualTokenizer

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> DualTokenizer:
        """Raise: only pretrained weights have the tokenizer."""
        raise RecipeError("the text encoder has its tokenizer from pretrained weights.", remedy=NEEDED)

    @classmethod
    def read_tokenizer(cls, folder: Path) -> DualTokenizer:
        """Read the tokenizer from a checkpoint folder."""
        return DualTokenizer.from_files(folder)
