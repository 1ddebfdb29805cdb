"""What the towers of both sides share: their options; frozen unless they are trained, and then not stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.errors import RecipeError, UsageError, first_line
from vsezoo.interfaces import TextEncoder, Weights
from vsezoo.pretrained.frozen import FrozenPart
from vsezoo.recipe.declared import Option
from vsezoo.recipe.options import Above, AtLeast, Below, OneOf
from vsezoo.recipe.signatures import read_options
from vsezoo_clip.adapters import add_adapters, merge_adapters
from vsezoo_clip.head import HEADS, ProjectionHead
from vsezoo_clip.library import NEEDED, OF_WEIGHTS
from vsezoo_clip.tokenizer import DualTokenizer


class PretrainedTower(nn.Module, ABC):
    """A network with its pooling and projection: gives vectors `(B, D)`, not scaled."""

    @abstractmethod
    def load(self, weights: Weights) -> None:
        """Take the tensors from the file of the dual encoder, in float32.

        Raises:
            CheckpointError: for tensors that are missing, unknown or of another shape.
        """


@dataclass(frozen=True)
class TowerOptions:
    """How a pretrained tower is used and trained.

    Attributes:
        normalize: scale embeddings to unit L2 norm. False: as `get_image_features` and `get_text_features` of
            transformers, and `encode_image` and `encode_text` of open_clip, return them.
        head: what is trained after the tower. "none": nothing; "linear": a linear layer; "mlp": one with an MLP next to
            it, see `ProjectionHead`. It gives embeddings of any width.
        head_dropout: dropout of the head.
        adapter_rank: rank of low-rank adapters of all linear layers of the tower, which are trained instead of it; 0:
            there are none.
        adapter_scale: what the outputs of adapters are multiplied by.
        finetune: train the whole tower. False: it stays as it is, and without dropout.
        learning_rate_scale: learning rate of the tower or its adapters, as a multiple of `training.learning_rate`.
        store_weights: have checkpoints hold the tower although it is frozen.

    Raises:
        RecipeError: for an invalid value.
    """

    normalize: bool = True
    head: Annotated[str, OneOf(*HEADS)] = "none"
    head_dropout: Annotated[float, AtLeast(0), Below(1)] = 0.0
    adapter_rank: Annotated[int, AtLeast(0)] = 0
    adapter_scale: Annotated[float, Above(0)] = 1.0
    finetune: bool = False
    learning_rate_scale: Annotated[float, Above(0)] = 1.0
    store_weights: bool = False

    def __post_init__(self) -> None:
        if self.finetune and self.adapter_rank:
            raise RecipeError(
                f"finetune trains the whole tower, and adapter_rank is {self.adapter_rank}: adapters are trained "
                "instead of it.",
                remedy="Set one of them: adapter_rank=0, or finetune=false.",
            )


OF_TOWER = read_options(TowerOptions)


class FrozenTower(FrozenPart):
    """Mixin of encoders whose pretrained network is `tower`, and which call `set_tower`.

    Attributes:
        tower: the network, with its pooling and its projection.
        adapters: the adapters of its layers; empty: it has none.
        head: what is behind it; None: nothing.
        options: see `TowerOptions`.
    """

    external: ClassVar[str] = "tower."
    finishing: ClassVar[frozenset[str]] = frozenset(OF_TOWER)  # with adapters or fine-tuning, nothing is kept
    tower: PretrainedTower
    adapters: nn.ModuleDict
    head: ProjectionHead | None
    options: TowerOptions

    @classmethod
    def more_options(cls, options: Mapping[str, Any]) -> dict[str, Option]:
        """Return the options that all towers have."""
        return dict(OF_TOWER)

    @classmethod
    def native_width(cls, options: Mapping[str, Any]) -> int | None:
        """Return the width that the pretrained weights have; None: it is not known, or a head changes it."""
        return (options.get("width") or None) if options.get("head", "none") == "none" else None

    def set_tower(self, tower: PretrainedTower, width: int, embed_size: int, options: Mapping[str, Any]) -> None:
        """Take a tower.

        Args:
            tower: the network.
            width: the width of its vectors.
            embed_size: D, the width of the joint embedding.
            options: see `TowerOptions`.
        """
        self.options = own = TowerOptions(**options)
        self.tower = tower.requires_grad_(own.finetune)
        self.adapters = nn.ModuleDict()
        if own.adapter_rank:
            self.adapters = add_adapters(tower, own.adapter_rank, own.adapter_scale)
        self.head = None
        if own.head != "none":
            self.head = ProjectionHead(width, embed_size, mlp=own.head == "mlp", dropout=own.head_dropout)

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Take the tower from the file of the dual encoder; see `PretrainedTower.load`."""
        if weights is not None:
            self.tower.load(weights)

    def export_tower(self) -> dict[str, Tensor]:
        """Return the tensors of the tower, its adapters added to its weights.

        Raises:
            UsageError: if there is a head, for which other libraries have no place.
        """
        if self.head is not None:
            raise UsageError(
                f"its {self.options.head} head cannot be written: a dual encoder of another library has none.",
                remedy="Train the tower or its adapters instead: head=none with finetune=true or adapter_rank=8.",
            )
        return merge_adapters(self.tower)

    def skips_external_weights(self) -> bool:
        """Return whether the tower is to stay as its source has it."""
        return not self.options.finetune and not self.options.store_weights

    def learning_rate_scales(self) -> Mapping[str, float]:
        """Return the multiple for the tower, in which the adapters are."""
        return {self.external: self.options.learning_rate_scale}

    def train(self, mode: bool = True) -> Self:
        """Set the mode; a tower that is not fine-tuned stays in eval mode."""
        super().train(mode)  # type: ignore[misc] # of torch.nn.Module, which the encoder is
        self.tower.train(mode and self.options.finetune)
        return self

    def is_fixed(self) -> bool:
        """Return whether neither the tower nor adapters are trained."""
        return not self.options.finetune and not self.options.adapter_rank

    def forward(self, inputs: Any) -> Tensor | Embeddings:
        """Return the joint embeddings of what `extract` takes."""
        return self.finish(self.extract(inputs))

    def run_tower(self, *inputs: Tensor, **named: Tensor | None) -> Tensor:
        """Return the vectors `(B, F)` that the tower gives, in float32; in training, without a graph if it is fixed.

        In eval mode, a caller with gradients enabled needs the graph: the gradient of pixels explains a score.
        """
        learns = not self.is_fixed() or not self.training  # type: ignore[attr-defined] # of torch.nn.Module
        with torch.set_grad_enabled(learns and torch.is_grad_enabled()):
            vectors: Tensor = self.tower(*inputs, **named)
            return vectors.float()

    def run_on_pixels(self, pixels: Tensor) -> Tensor:
        """Return the vectors of pixels `(B, 3, S, S)` by a tower of transformers.

        Raises:
            RecipeError: for pixels of another size than the network takes.
        """
        try:
            return self.run_tower(pixel_values=pixels)
        except ValueError as error:
            height, width = pixels.shape[2:]
            raise RecipeError(
                f"its image processor makes pictures of {height} x {width} pixels, which its network does not take: "
                f"{first_line(error)}.",
                remedy=OF_WEIGHTS,
            ) from error

    def finish(self, features: Tensor) -> Tensor | Embeddings:
        """Return the joint embeddings of features."""
        return self.project(features)

    def project(self, features: Tensor) -> Tensor:
        """Return vectors `(..., F)` through the head, and of unit length if they are to be; a zero vector stays one."""
        vectors = features if self.head is None else self.head(features)
        return functional.normalize(vectors, dim=-1) if self.options.normalize else vectors


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
