"""What image and text encoders both promise."""

from __future__ import annotations

import math
from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.construction import count_parameters
from vsezoo.errors import VsezooError
from vsezoo.interfaces import Encoder
from vsezoo.testing.kit import promise, require, require_equal
from vsezoo.testing.parts import Built, PartKit

SIZES = (1, 2, 5)
"""Of the batches."""


def split_output(output: Tensor | Embeddings) -> dict[str, Tensor]:
    """Return the tensors of what an encoder returned, by name."""
    if isinstance(output, Embeddings):
        tensors = {"embeddings": output.embeddings}
        if output.items is not None:
            tensors["items"] = output.items
    else:
        tensors = {"embeddings": output}
    for name, tensor in tensors.items():
        require(isinstance(tensor, Tensor), f"{name} of type {type(tensor).__name__}, no tensor")
    return tensors


def require_same(found: Tensor | Embeddings, expected: Tensor | Embeddings, what: str) -> None:
    """Require the same embeddings, and the same items, however far they are padded."""
    sides = [Embeddings.of(found), Embeddings.of(expected)]
    require_equal(sides[0].embeddings, sides[1].embeddings, f"the embeddings of {what}")
    if any(side.items is None for side in sides):
        return
    require(torch.equal(sides[0].counts, sides[1].counts), f"other numbers of items of {what}")
    sides = [side.pad(max(sides[0].size, sides[1].size)) for side in sides]
    items = [side.regions.masked_fill(~side.mask[:, :, None], 0) for side in sides]
    require_equal(items[0], items[1], f"the items of {what}")


@dataclass
class EncoderKit(PartKit):
    """The checks of image and text encoders."""

    def encode(self, built: Built, size: int) -> Tensor | Embeddings:
        """Return what the encoder makes of a batch of this size, with the items that it declares to give."""
        encoder = self.find(built)
        assert isinstance(encoder, Encoder)
        encoder.keep_items = encoder.gives == "sets"
        return self._encode_first(built, size)

    @abstractmethod
    def _encode_first(self, built: Built, size: int) -> Tensor | Embeddings: ...

    def run(self, built: Built) -> dict[str, Tensor]:
        """Return what the encoder makes of its largest batch."""
        return split_output(self.encode(built, max(SIZES)))

    def _require_form(self, output: Tensor | Embeddings, size: int, dtype: bool = True) -> None:
        width = self.embed_size + self.subject.thing.uncertain
        for name, tensor in split_output(output).items():
            leading = (size, width) if name == "embeddings" else (size,)
            dimensions = 2 if name == "embeddings" else 3
            fits = tensor.dim() == dimensions and tensor.shape[: len(leading)] == leading
            require(
                fits, f"{name} of shape {tuple(tensor.shape)}, of a batch of {size} and embed_size={self.embed_size}"
            )
            require(tensor.is_floating_point(), f"{name} of {tensor.dtype}")
            require(not dtype or tensor.dtype == torch.float32, f"{name} of {tensor.dtype}")
            require(bool(tensor.isfinite().all()), f"{name} with NaN or infinite numbers, of a batch of {size}")

    @promise(
        "shapes",
        "Take the width of the last layer from embed_size, and squeeze no dimension but by its number.",
    )
    def check_shapes(self) -> None:
        """A batch of 1, 2 or 5 becomes finite float32 embeddings (B, D) with D = embed_size.

        They are one wider if the encoder is `uncertain`.
        Items, where they are returned, are (B, K, D'), finite and float32 as well.
        """
        built = self.build()
        self.find(built).eval()
        for size in SIZES:
            self._require_form(self.encode(built, size), size)
        self.find(built).train()
        for size in SIZES[1:]:
            self._require_form(self.encode(built, size), size)
        with suppress(ValueError, VsezooError):  # batch norm refuses to train on one
            self._require_form(self.encode(built, 1), 1)

    @promise(
        "gives",
        "Return Embeddings(embeddings, items, lengths) if self.keep_items, and declare gives = 'sets'; each length is "
        "from 1 to K.",
        applies=lambda kit: bool(kit.subject.thing.gives),
    )
    def check_gives(self) -> None:
        """It returns what it declares: sets, if keep_items asks for them, or vectors; with the same embeddings."""
        built = self._build_trained()
        encoder = self.find(built)
        assert isinstance(encoder, Encoder)
        require(encoder.gives in ("vectors", "sets"), f"gives = {encoder.gives!r}")
        kept = Embeddings.of(self.encode(built, max(SIZES)))
        encoder.keep_items = False
        plain = Embeddings.of(self._encode_first(built, max(SIZES)))
        require_equal(plain.embeddings, kept.embeddings, "the embeddings with and without items")
        if encoder.gives == "vectors":
            require(kept.items is None and plain.items is None, "Embeddings with items")
            return
        require(kept.items is not None, "no items, although keep_items is set")
        counts = kept.counts
        require(counts.shape == (max(SIZES),), f"lengths of shape {tuple(counts.shape)}")
        require(not counts.is_floating_point(), f"lengths of {counts.dtype}")
        require(bool((counts >= 1).all() and (counts <= kept.size).all()), f"lengths {counts.tolist()} of {kept.size}")

    def _build_trained(self) -> Built:
        built = self.build()
        self.train(built)
        self.find(built).eval()
        return built

    @promise(
        "autocast",
        "Let autocast choose the type of each product, and convert with .float() or .to(other.dtype) where types meet.",
    )
    def check_autocast(self) -> None:
        """Under autocast to bfloat16 the embeddings keep their shape, and they and the gradients are finite."""
        built = self.build()
        self.find(built).train()
        with torch.autocast("cpu", torch.bfloat16):
            output = self.encode(built, max(SIZES))
        self._require_form(output, max(SIZES), dtype=False)
        total = self._objective({name: tensor.float() for name, tensor in split_output(output).items()})
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        for name, parameter in self.find(built).named_parameters():
            if parameter.grad is not None:
                require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")

    @promise(
        "learning-rates",
        "Compare with named_parameters(): 'cnn.' is a beginning of cnn.conv1.weight.",
    )
    def check_learning_rates(self) -> None:
        """learning_rate_scales names beginnings of parameters that there are, each with a positive number."""
        part = self.find(self.build())
        assert isinstance(part, Encoder)
        names = [name for name, _ in part.named_parameters()]
        for start, scale in part.learning_rate_scales().items():
            require(0 < scale < math.inf, f"the multiple {scale} for {start!r}")
            require(any(name.startswith(start) for name in names), f"no parameter begins with {start!r}")

    @promise(
        "count",
        "Do not read numbers out of tensors in the constructor; read weights from files in load_pretrained.",
    )
    def check_count(self) -> None:
        """It can be built without memory, on the device `meta`: `vsezoo show` counts its parameters there."""
        counted = count_parameters(self.recipe)[self.part]
        sizes = sum(parameter.numel() for parameter in self.find(self.build()).parameters())
        require(counted > 0 or sizes == 0, f"{counted:,} parameters on meta, {sizes:,} in memory")
