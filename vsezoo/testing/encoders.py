"""What image encoders promise, and what they share with text encoders."""

from __future__ import annotations

import functools
import io
import math
import pickle
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vsezoo.construction import count_parameters
from vsezoo.errors import VsezooError
from vsezoo.interfaces import KINDS, Encoder, ImageEncoder, ImageOutput, PairDataset
from vsezoo.testing.kit import promise, require, require_equal
from vsezoo.testing.parts import Built, PartKit
from vsezoo.testing.samples import SamplePairs
from vsezoo.training.state import seed_all

SIZES = (1, 2, 5)
"""Of the batches."""


def split_output(output: Tensor | ImageOutput) -> dict[str, Tensor]:
    """Return the tensors of what an encoder returned, by name."""
    if isinstance(output, ImageOutput):
        tensors = {"embeddings": output.embeddings, "regions": output.regions}
    else:
        tensors = {"embeddings": output}
    for name, tensor in tensors.items():
        require(isinstance(tensor, Tensor), f"{name} of type {type(tensor).__name__}, no tensor")
    return tensors


@dataclass
class EncoderKit(PartKit):
    """The checks of image and text encoders."""

    @abstractmethod
    def encode(self, built: Built, size: int) -> Tensor | ImageOutput:
        """Return what the encoder makes of a batch of this size."""

    def run(self, built: Built) -> dict[str, Tensor]:
        """Return what the encoder makes of its largest batch."""
        return split_output(self.encode(built, max(SIZES)))

    def _require_form(self, output: Tensor | ImageOutput, size: int, dtype: bool = True) -> None:
        for name, tensor in split_output(output).items():
            leading = (size, self.embed_size) if name == "embeddings" else (size,)
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

        Regions, where they are returned, are (B, R, D'), finite and float32 as well.
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


@dataclass
class ImageEncoderKit(EncoderKit):
    """The checks of image encoders."""

    part = "image_encoder"

    @functools.cached_property
    def pairs(self) -> PairDataset:
        """The data, or made-up images of the first kind that the encoder takes."""
        return self.data or SamplePairs(self.kinds[0])

    @property
    def kinds(self) -> tuple[str, ...]:
        """The forms of image that the encoder takes."""
        encoder = self.subject.thing
        kinds: tuple[str, ...] = encoder.accepted_kinds(self.options) if hasattr(encoder, "kinds") else ()
        return kinds

    def encode(self, built: Built, size: int) -> Tensor | ImageOutput:
        """Return what the encoder makes of the first images."""
        return self._encode(built, range(size), self.pairs)

    def _encode(self, built: Built, indices: Sequence[int], pairs: PairDataset) -> Tensor | ImageOutput:
        encoder = built.model.image_encoder
        repeated = [index % len(pairs.image_ids) for index in indices]
        output: Tensor | ImageOutput = encoder(encoder.transform(training=False)(pairs.images(repeated)))
        return output

    def require_declarations(self) -> None:
        """Look at the kinds, without which there are no images to build for."""
        declared = getattr(self.subject.thing, "kinds", None)
        require(isinstance(declared, tuple), f"the class attribute kinds is {declared!r}, no tuple")
        require(
            bool(self.kinds) and set(self.kinds) <= set(KINDS), f"the kinds {self.kinds!r}, not of {', '.join(KINDS)}"
        )

    @promise(
        "kinds",
        "Tell one feature (B, F) from regions (B, R, F) by images.dim(), or leave the kind out.",
        applies=lambda kit: kit.data is None and len(kit.kinds) > 1,
    )
    def check_kinds(self) -> None:
        """It encodes images of every kind that accepted_kinds returns."""
        built = self.build()
        for kind in self.kinds[1:]:
            self._require_form(self._encode(built, range(2), SamplePairs(kind)), 2)

    @promise(
        "batch",
        "Take means and norms along the dimensions of one image only; batch norm is fine in eval mode.",
    )
    def check_batch(self) -> None:
        """In eval mode the embedding of an image does not hang on the rest of the batch, or its order."""
        built = self.build()
        self.train(built)
        self.find(built).eval()
        order = [3, 0, 4, 1, 2]
        together = self.run(built)["embeddings"]
        permuted = split_output(self._encode(built, order, self.pairs))["embeddings"]
        require_equal(permuted, together[order], "the embeddings of a batch in another order")
        for index in range(max(SIZES)):
            alone = split_output(self._encode(built, [index], self.pairs))["embeddings"]
            require_equal(alone[0], together[index], "the embedding of an image alone and in a batch")

    @promise(
        "regions",
        "Pool with a mean or a maximum, or declare region_order = 'ordered'.",
        applies=lambda kit: kit.subject.thing.region_order == "invariant" and "regions" in kit.kinds,
    )
    def check_regions(self) -> None:
        """region_order is 'invariant': regions in another order give the same embedding."""
        built = self.build()
        self.train(built)
        encoder = built.model.image_encoder.eval()
        pairs = self.pairs if self.pairs.kind == "regions" else SamplePairs("regions")
        images = encoder.transform(training=False)(pairs.images(range(2)))
        expected, found = (split_output(encoder(given))["embeddings"] for given in (images, images.flip(1)))
        require_equal(found, expected, "the embedding of regions in reverse order")

    @promise(
        "transform",
        "Return a function of a module or a functools.partial of one, not a method of the encoder or a lambda; draw "
        "from torch, random or numpy.random by their global generators.",
    )
    def check_transform(self) -> None:
        """What transform returns can work in other processes, and makes a tensor with a row for each image.

        It can be copied there without the encoder. It draws from the seeded generators alone, in eval mode not at all.
        """
        encoder = self.find(self.build())
        assert isinstance(encoder, ImageEncoder)
        images = self.pairs.images(range(3))
        for training in (True, False):
            transform = encoder.transform(training)
            copy = pickle.loads(_pickle_without_encoder(transform))
            made = []
            for seed, function in ((0, transform), (0, copy), *(((1, copy),) * (not training))):
                seed_all(seed)
                made.append(function(images))
            words = f"transform(training={training})"
            require(isinstance(made[0], Tensor), f"{words} makes {type(made[0]).__name__}")
            require(len(made[0]) == 3, f"{words} makes the shape {tuple(made[0].shape)} of three images")
            for again in made[1:]:
                require_equal(again, made[0], f"{words} of the same images, twice", 0)


class _EncoderPickler(pickle.Pickler):
    """Refuses encoders and parameters."""

    def persistent_id(self, value: Any) -> None:
        """Look at each object on its way into the pickle."""
        name = type(value).__name__
        require(
            not isinstance(value, Encoder | nn.Parameter), f"the transform holds {name}, the encoder or its weights"
        )


def _pickle_without_encoder(transform: Any) -> bytes:
    stream = io.BytesIO()
    _EncoderPickler(stream).dump(transform)
    return stream.getvalue()
