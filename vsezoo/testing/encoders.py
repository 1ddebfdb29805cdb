"""Checks of image and text encoders alike."""

from __future__ import annotations

import math
from abc import abstractmethod
from contextlib import suppress
from dataclasses import dataclass

import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.construction import build_part
from vsezoo.errors import VsezooError
from vsezoo.interfaces import Encoder
from vsezoo.storage.unfilled import without_memory
from vsezoo.testing.built import Built, weigh
from vsezoo.testing.kit import promise, require, require_equal
from vsezoo.testing.replaying import ReplayedKit

SIZES = (1, 2, 5)
"""Batch sizes."""


def split_output(output: Tensor | Embeddings) -> dict[str, Tensor]:
    """Return the tensors of an encoder's output by name."""
    if isinstance(output, Embeddings):
        tensors = {"embeddings": output.embeddings}
        if output.items is not None:
            tensors["items"] = output.items
    else:
        tensors = {"embeddings": output}
    for name, tensor in tensors.items():
        require(isinstance(tensor, Tensor), f"{name} of type {type(tensor).__name__}, not a tensor")
    return tensors


def require_same(found: Tensor | Embeddings, expected: Tensor | Embeddings, what: str) -> None:
    """Require the same embeddings, and the same items, however far they are padded."""
    sides = [Embeddings.of(found), Embeddings.of(expected)]
    require_equal(sides[0].embeddings, sides[1].embeddings, f"the embeddings of {what}")
    if any(side.items is None for side in sides):
        return
    require(torch.equal(sides[0].counts, sides[1].counts), f"{what}: the numbers of items differ")
    sides = [side.pad(max(sides[0].size, sides[1].size)) for side in sides]
    items = [side.regions.masked_fill(~side.mask[:, :, None], 0) for side in sides]
    require_equal(items[0], items[1], f"the items of {what}")


@dataclass
class EncoderKit(ReplayedKit):
    """The checks of image and text encoders."""

    def encode(self, built: Built, size: int) -> Tensor | Embeddings:
        """Return the encoder's output for a batch of this size, with items if it declares them."""
        encoder = self.find(built)
        assert isinstance(encoder, Encoder)
        encoder.keep_items = encoder.gives == "sets"
        return self._encode_first(built, size)

    @abstractmethod
    def _encode_first(self, built: Built, size: int) -> Tensor | Embeddings: ...

    def run(self, built: Built) -> dict[str, Tensor]:
        """Return the encoder's output for its largest batch."""
        return split_output(self.encode(built, max(SIZES)))

    def _require_form(self, output: Tensor | Embeddings, size: int, dtype: bool = True) -> None:
        width = self.embed_size + self.subject.thing.uncertain
        for name, tensor in split_output(output).items():
            leading = (size, width) if name == "embeddings" else (size,)
            dimensions = 2 if name == "embeddings" else 3
            fits = tensor.dim() == dimensions and tensor.shape[: len(leading)] == leading
            require(
                fits, f"{name} of shape {tuple(tensor.shape)} for a batch of {size} and embed_size={self.embed_size}"
            )
            require(tensor.is_floating_point(), f"{name} of dtype {tensor.dtype}")
            require(not dtype or tensor.dtype == torch.float32, f"{name} of dtype {tensor.dtype}")
            require(bool(tensor.isfinite().all()), f"{name} with NaN or infinite values for a batch of {size}")

    @promise(
        "shapes",
        "Take the width of the last layer from embed_size, and squeeze dimensions by number only.",
    )
    def check_shapes(self) -> None:
        """A batch of 1, 2 or 5 gives finite float32 embeddings (B, D) with D = embed_size.

        They are one wider if the encoder is `uncertain`.
        Items, if returned, are (B, K, D'), finite and float32 as well.
        """
        built = self.build()
        self.find(built).eval()
        for size in SIZES:
            self._require_form(self.encode(built, size), size)
        self.find(built).train()
        for size in SIZES[1:]:
            self._require_form(self.encode(built, size), size)
        with suppress(ValueError, VsezooError):  # batch norm cannot train on one
            self._require_form(self.encode(built, 1), 1)

    @promise(
        "gives",
        "Return Embeddings(embeddings, items, lengths) if self.keep_items, and declare gives = 'sets'; each length is "
        "from 1 to K.",
        applies=lambda kit: bool(kit.subject.thing.gives),
    )
    def check_gives(self) -> None:
        """It returns what it declares, vectors or (if keep_items is set) sets, with the same embeddings."""
        built = self.build_trained()
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
        require(counts.shape == (max(SIZES),), f"lengths of shape {tuple(counts.shape)}, not ({max(SIZES)},)")
        require(not counts.is_floating_point(), f"lengths of dtype {counts.dtype}")
        require(
            bool((counts >= 1).all() and (counts <= kept.size).all()),
            f"lengths {counts.tolist()}, of sets of {kept.size}",
        )

    @promise(
        "autocast",
        "Let autocast choose the dtype of each product; convert with .float() or .to(other.dtype) where they differ.",
    )
    def check_autocast(self) -> None:
        """Under autocast to bfloat16 the embeddings keep their shape; embeddings and gradients are finite."""
        built = self.build()
        self.find(built).train()
        with torch.autocast("cpu", torch.bfloat16):
            output = self.encode(built, max(SIZES))
        self._require_form(output, max(SIZES), dtype=False)
        total = weigh({name: tensor.float() for name, tensor in split_output(output).items()})
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]
        for name, parameter in self.find(built).named_parameters():
            if parameter.grad is not None:
                require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")

    @promise(
        "learning-rates",
        "Compare with named_parameters(): 'cnn.' is a prefix of cnn.conv1.weight.",
    )
    def check_learning_rates(self) -> None:
        """learning_rate_scales maps prefixes of existing parameter names to positive numbers."""
        part = self.find(self.build())
        assert isinstance(part, Encoder)
        names = [name for name, _ in part.named_parameters()]
        for start, scale in part.learning_rate_scales().items():
            require(0 < scale < math.inf, f"the scale {scale} for {start!r}")
            require(any(name.startswith(start) for name in names), f"no parameter name begins with {start!r}")

    @promise(
        "count",
        "Do not read numbers out of tensors in the constructor; read weights from files in load_pretrained.",
    )
    def check_count(self) -> None:
        """It can be built without memory, on the device `meta`: `vsezoo show` counts its parameters there."""
        built = self.build()
        with without_memory():
            part = build_part(self.recipe, self.part, built.model.tokenizer)
        counted, sizes = (sum(value.numel() for value in it.parameters()) for it in (part, self.find(built)))
        require(counted == sizes, f"{counted:,} parameters on meta, {sizes:,} in memory")
