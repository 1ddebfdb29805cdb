"""Checks of image encoders."""

from __future__ import annotations

import functools
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vsezoo.batch import Embeddings
from vsezoo.interfaces import KINDS, Encoder, ImageEncoder, PairDataset
from vsezoo.testing.built import Built
from vsezoo.testing.encoders import SIZES, EncoderKit, require_same, split_output
from vsezoo.testing.kit import promise, require, require_equal
from vsezoo.testing.samples import SamplePairs
from vsezoo.training.state import seed_all


@dataclass
class ImageEncoderKit(EncoderKit):
    """The checks of image encoders."""

    part = "image_encoder"

    @functools.cached_property
    def pairs(self) -> PairDataset:
        """The data, or synthetic images of the first kind that the encoder takes."""
        return self.data or SamplePairs(self.kinds[0])

    @property
    def pairs_of_images(self) -> PairDataset:
        """The images of the encoder itself."""
        return self.pairs

    @property
    def kinds(self) -> tuple[str, ...]:
        """The forms of image that the encoder takes."""
        encoder = self.subject.thing
        kinds: tuple[str, ...] = encoder.accepted_kinds(self.options) if hasattr(encoder, "kinds") else ()
        return kinds

    def _encode_first(self, built: Built, size: int) -> Tensor | Embeddings:
        return self._encode(built, range(size), self.pairs)

    def _encode(self, built: Built, indices: Sequence[int], pairs: PairDataset) -> Tensor | Embeddings:
        encoder = built.model.image_encoder
        repeated = [index % len(pairs.image_ids) for index in indices]
        output: Tensor | Embeddings = encoder(encoder.transform(training=False)(pairs.images(repeated)))
        return output

    def require_declarations(self) -> None:
        """Check the kinds, which decide the images to build for."""
        declared = getattr(self.subject.thing, "kinds", None)
        require(isinstance(declared, tuple), f"the class attribute kinds is {declared!r}, not a tuple")
        require(
            bool(self.kinds) and set(self.kinds) <= set(KINDS),
            f"the kinds {self.kinds!r}; known are {', '.join(KINDS)}",
        )

    @promise(
        "kinds",
        "Distinguish one feature (B, F) from regions (B, R, F) by images.dim(), or leave the kind out.",
        applies=lambda kit: kit.data is None and len(kit.kinds) > 1,
    )
    def check_kinds(self) -> None:
        """It encodes images of every kind that accepted_kinds returns."""
        built = self.build()
        for kind in self.kinds[1:]:
            self._require_form(self._encode(built, range(2), SamplePairs(kind)), 2)

    @promise(
        "batch",
        "Compute means and norms within one image only; batch norm is fine in eval mode.",
    )
    def check_batch(self) -> None:
        """In eval mode the embedding of an image depends neither on the rest of the batch nor on its order."""
        built = self.build_trained()
        order = torch.tensor([3, 0, 4, 1, 2])
        together = Embeddings.of(self.encode(built, max(SIZES)))
        permuted = self._encode(built, order.tolist(), self.pairs)
        require_same(permuted, together[order], "a batch in another order")
        for index in range(max(SIZES)):
            alone = self._encode(built, [index], self.pairs)
            require_same(alone, together[index : index + 1], "an image alone and in a batch")

    @promise(
        "regions",
        "Pool with a mean or a maximum, or declare region_order = 'ordered'.",
        applies=lambda kit: kit.subject.thing.region_order == "invariant" and "regions" in kit.kinds,
    )
    def check_regions(self) -> None:
        """region_order is 'invariant': regions in another order give the same embedding."""
        encoder = self.build_trained().model.image_encoder
        pairs = self.pairs if self.pairs.kind == "regions" else SamplePairs("regions")
        images = encoder.transform(training=False)(pairs.images(range(2)))
        assert isinstance(images, Tensor)
        expected, found = (split_output(encoder(given))["embeddings"] for given in (images, images.flip(1)))
        require_equal(found, expected, "the embedding of regions in reverse order")

    @promise(
        "transform",
        "Return a function of a module or a functools.partial of one, not a method of the encoder or a lambda; draw "
        "random numbers from the global generators of torch, random or numpy.random.",
    )
    def check_transform(self) -> None:
        """The function that transform returns works in other processes, and makes a tensor with a row for each image.

        It is pickled without the encoder. It draws from the seeded generators only, and in eval mode not at all.
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
            require(isinstance(made[0], Tensor), f"{words} returns {type(made[0]).__name__}, not a tensor")
            require(len(made[0]) == 3, f"{words} returns shape {tuple(made[0].shape)} for three images")
            for again in made[1:]:
                require_equal(again, made[0], f"{words} of the same images, twice", 0)


class _EncoderPickler(pickle.Pickler):
    """A pickler that refuses encoders and parameters."""

    def persistent_id(self, value: Any) -> None:
        """Check each object that is pickled."""
        name = type(value).__name__
        require(
            not isinstance(value, Encoder | nn.Parameter), f"the transform holds {name}, the encoder or its weights"
        )


def _pickle_without_encoder(transform: Any) -> bytes:
    stream = io.BytesIO()
    _EncoderPickler(stream).dump(transform)
    return stream.getvalue()
