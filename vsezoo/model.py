"""The joint embedding: an image encoder, a text encoder and a similarity, built from a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn, cast

import numpy as np
import torch
from torch import Tensor, nn

from vsezoo.batch import Embeddings, RegionSets, cut_by_length, cut_evenly
from vsezoo.errors import DataError, RecipeError, UsageError
from vsezoo.interfaces import Encoder, ImageEncoder, ModelPart, Similarity, TextEncoder, Tokenizer, Tokens
from vsezoo.pretrained.parts import PretrainedParts
from vsezoo.recipe import Recipe
from vsezoo.registry.owners import describe, guard
from vsezoo.vectors import EncodesVectors

SETS = {"image_encoder": ("regions", "regions"), "text_encoder": ("gru", "words")}
"""For each side, an encoder that returns sets, and what their items are."""

LARGEST_BATCH = 256 * 3 * 224 * 224
"""Maximum number of values in images encoded at a time: the computation takes many times their memory."""


class JointEmbedding(PretrainedParts, EncodesVectors, nn.Module):
    """An image encoder and a text encoder with a joint embedding space, and the similarity of their outputs.

    Args:
        recipe: the recipe, with every option resolved.
        image_encoder: images to `(B, D)`, or to sets of regions.
        text_encoder: captions to `(B, D)`, or to sets of words.
        similarity: encoder outputs of N images and M captions to scores `(N, M)`. If it compares sets, the encoders
            return them.
    """

    def __init__(
        self, recipe: Recipe, image_encoder: ImageEncoder, text_encoder: TextEncoder, similarity: Similarity
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.image_encoder = image_encoder
        self.text_encoder = text_encoder
        self.similarity = similarity
        self.keep_items(images=self.compares_sets, texts=self.compares_sets)

    def __repr__(self) -> str:
        """Return the parts and their size in one line; `named_children` has the modules."""
        count = sum(parameter.numel() for parameter in self.parameters())
        parts = f"{self.recipe.image_encoder.name} + {self.recipe.text_encoder.name}, {self.recipe.similarity.name}"
        return f"<JointEmbedding {self.recipe.name}: {parts}, {self.recipe.width} wide, {count:,} parameters>"

    def forward(self, images: Tensor, tokens: Tokens) -> tuple[Tensor | Embeddings, Tensor | Embeddings]:
        """Return what the encoders return for a batch, images first: vectors `(B, D)`, or `Embeddings`.

        Raises:
            RecipeError: for encoders whose embeddings differ in width.
        """
        self.require_uncertainty()
        outputs = self.image_encoder(images), self.text_encoder(tokens)
        self.require_one_width(*outputs)
        return outputs

    def require_one_width(self, images: Tensor | Embeddings, texts: Tensor | Embeddings) -> None:
        """Raise a RecipeError for encoders whose embeddings differ in width."""
        image_width, text_width = (Embeddings.of(output).embeddings.shape[-1] for output in (images, texts))
        if image_width != text_width:
            wanted = self.recipe.width + self.similarity.uncertain
            widths = {"image_encoder": image_width, "text_encoder": text_width}
            wrong = [self.describe(side) for side, width in widths.items() if width != wanted]
            raise RecipeError(
                f"The image encoder {self.recipe.image_encoder.name!r} gives embeddings of width "
                f"{image_width}, the text encoder {self.recipe.text_encoder.name!r} of width "
                f"{text_width}; the recipe has embed_size={self.recipe.embed_size}.",
                remedy=f"The {' and the '.join(wrong)} must take the width from embed_size.",
            )

    @property
    def compares_sets(self) -> bool:
        """Whether the similarity compares sets of regions and words instead of vectors."""
        return self.similarity.inputs == "sets"

    def keep_items(self, *, images: bool, texts: bool) -> None:
        """Make the image encoder, the text encoder or both return sets from now on."""
        self.image_encoder.keep_items |= images
        self.text_encoder.keep_items |= texts

    def describe(self, kind: str) -> str:
        """Return a part, such as `similarity`, for a message: its noun, its name and its distribution."""
        return describe(self.parts[kind], getattr(self.recipe, kind).name)

    def refuse_vectors(self, side: str, what: str) -> NoReturn:
        """Raise a RecipeError because something needs sets from an encoder that returns only vectors."""
        encoder = self.encoders[side]
        if encoder.gives == "sets":
            raise RecipeError(
                f"The {self.describe(side)} declares gives = 'sets', but returned vectors without items.",
                remedy="Return Embeddings(vectors, items, lengths) in its forward, or declare gives = 'vectors'.",
            )
        choice, kept = SETS[side]
        raise RecipeError(
            f"{what} needs sets of {kept}, and the {side.replace('_', ' ')} {getattr(self.recipe, side).name!r} gives "
            f"{'none' if encoder.gives == 'vectors' else 'none that it declares'}.",
            remedy=f"Choose an encoder that does, such as {choice}; or a similarity and a loss of vectors, such as "
            "cosine and hinge. An encoder of your own says so by gives = 'sets'.",
        )

    def require_uncertainty(self, *sides: str) -> None:
        """Refuse a similarity and encoders of which some are probabilistic and others not.

        Args:
            sides: the encoders, by their names in a recipe; none: both.

        Raises:
            RecipeError: for such parts.
        """
        for side in sides or self.encoders:
            if self.encoders[side].uncertain != self.similarity.uncertain:
                wanted, given = ("with", "without") if self.similarity.uncertain else ("without", "with")
                raise RecipeError(
                    f"The similarity {self.recipe.similarity.name!r} compares vectors {wanted} an uncertainty, and the "
                    f"{side.replace('_', ' ')} {getattr(self.recipe, side).name!r} gives vectors {given} one.",
                    remedy="Choose parts that are all probabilistic, such as those of pcmepp-regions, or none that is.",
                )

    @property
    def encoders(self) -> dict[str, Encoder]:
        """The encoders by their names in a recipe."""
        return {"image_encoder": self.image_encoder, "text_encoder": self.text_encoder}

    @property
    def parts(self) -> dict[str, ModelPart]:
        """The encoders and the similarity by their names in a recipe."""
        return {**self.encoders, "similarity": self.similarity}

    def learning_rate_scales(self) -> dict[str, float]:
        """Merge the results of the parts' methods of this name, with the names of parameters in the model."""
        return {
            f"{name}.{start}": scale
            for name, part in self.parts.items()
            for start, scale in part.learning_rate_scales().items()
        }

    def start_epoch(self, epoch: int) -> None:
        """Call the parts' methods of this name: an epoch, counted from 0, starts or is continued."""
        for part in self.parts.values():
            part.start_epoch(epoch)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the text encoder."""
        return self.text_encoder.tokenizer

    @torch.inference_mode()
    def embed_images(self, images: Any, batch_size: int = 256, *, sets: bool | None = None) -> Embeddings:
        """Return the joint embeddings of images.

        Args:
            images: features as an array or tensor `(N, F)` or `(N, R, F)`, a list of arrays `(R_i, F)` or of pictures,
                as the image encoder takes them.
            batch_size: maximum number of images encoded at a time; fewer if they are large or have many crops.
            sets: return the regions of the images as well; None: if the similarity compares them.

        Returns:
            N embeddings in float32, on the model's device.

        Raises:
            DataError: for images of another form than the encoder takes, or with NaN in them.
            RecipeError: if sets are requested from an encoder that returns none.
            UsageError: for a single picture instead of a list.
        """
        if not hasattr(images, "__len__"):
            raise UsageError(
                f"encode_images takes a list of pictures or an array of features, not one {type(images).__name__}.",
                remedy="Pass [picture].",
            )
        if isinstance(images, Tensor):
            images = images.float().cpu().numpy()  # NumPy has no bfloat16
        transform = self.image_encoder.transform(training=False)
        if len(images):
            first = transform(images[:1])
            size = (first.features if isinstance(first, RegionSets) else first).numel()
            batch_size = max(1, min(batch_size, LARGEST_BATCH // size))
        blocks = []
        for start in range(0, len(images), batch_size):
            batch = transform(images[start : start + batch_size])
            values = batch.features if isinstance(batch, RegionSets) else batch
            if not values.sum().isfinite():  # a hundredth of the time that all values take; large ones may overflow
                _require_finite(values, start)
            blocks.append(self._embed("image_encoder", batch.to(self.device), sets))
        return Embeddings.cat(blocks) if blocks else self._embed_nothing()

    def read_uncertainty(self, embeddings: Tensor | Embeddings) -> Tensor:
        """Return how uncertain images or captions are, `(N,)`: the larger, the less the model could tell about them.

        Args:
            embeddings: what `embed_images`, `embed_texts` or the methods that return vectors gave.

        Raises:
            UsageError: for a model whose embeddings are not probabilistic.
        """
        if not self.similarity.uncertain:
            raise UsageError(
                f"{self.recipe.name!r} gives no uncertainty.", remedy="Take a probabilistic model, such as pcmepp."
            )
        return Embeddings.of(embeddings).embeddings[:, -1]

    def embed_texts(
        self, texts: Iterable[str], batch_size: int | None = None, *, sets: bool | None = None
    ) -> Embeddings:
        """Return the joint embeddings of M captions in float32, on the model's device.

        Args:
            texts: captions as plain strings.
            batch_size: captions encoded at a time; None: as many as the encoder prefers.
            sets: return the words of the captions as well; None: if the similarity compares them.

        Raises:
            RecipeError: if sets are requested from an encoder that returns none.
            UsageError: for a single string instead of a list, or an item that is not a string.
        """
        if isinstance(texts, str):
            raise UsageError("encode_texts takes a list of strings, not one string.", remedy="Pass [text].")
        texts = list(texts)  # the check would exhaust an iterator
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise UsageError(
                    f"The text at index {index} is of type {type(text).__name__}, not str.",
                    remedy="Pass text; bytes become text by .decode('utf-8').",
                )
        return self.embed_tokens(self.tokenizer.encode(texts), batch_size, sets=sets)

    @torch.inference_mode()
    def embed_tokens(
        self, captions: Sequence[np.ndarray], batch_size: int | None = None, *, sets: bool | None = None
    ) -> Embeddings:
        """Return the joint embeddings of captions given as ids; see `embed_texts`."""
        batches = list(self.embed_by_length(captions, batch_size, sets=sets))
        if not batches:
            return self._embed_nothing()
        order = np.concatenate([chosen for chosen, _ in batches])
        return Embeddings.cat([part for _, part in batches])[torch.from_numpy(order).argsort().to(self.device)]

    @torch.inference_mode()
    def embed_by_length(
        self, captions: Sequence[np.ndarray], batch_size: int | None = None, *, sets: bool | None = None
    ) -> Iterator[tuple[np.ndarray, Embeddings]]:
        """Yield batches of captions given as ids: their indices, and their embeddings.

        Batches of similar lengths need hardly any padding. An encoder that reads once what captions have in common at
        the start gets them in the order of their words.
        """
        alike = np.array(sorted(range(len(captions)), key=lambda one: captions[one].tolist()), dtype=np.int64)
        encoder = cast(TextEncoder, self.encoders["text_encoder"])
        shares = encoder.shares_beginnings and not (self.compares_sets if sets is None else sets)
        size = batch_size or (1 + shares) * encoder.batch_size  # without padding there is room for twice as many
        parts: Iterable[slice | np.ndarray] = (
            cut_evenly(len(alike), size) if shares else cut_by_length([len(captions[one]) for one in alike], size)
        )
        for part in parts:
            chosen = alike[part]
            tokens = Tokens.pad([captions[index] for index in chosen]).to(self.device)
            yield chosen, self._embed("text_encoder", tokens, sets)

    def _embed(self, side: str, inputs: Tensor | RegionSets | Tokens, sets: bool | None) -> Embeddings:
        """Return an encoder's output for a batch in float32, with its items if sets are requested."""
        self.require_uncertainty(side)
        encoder, sets = self.encoders[side], self.compares_sets if sets is None else sets
        encoder.keep_items |= sets
        with guard(encoder):
            output = Embeddings.of(encoder(inputs))
        if not sets:
            return dataclasses.replace(output, items=None, lengths=None).map(Tensor.float)
        if output.items is None:
            self.refuse_vectors(side, "What was asked for")
        return output.map(Tensor.float)

    def _embed_nothing(self) -> Embeddings:
        return Embeddings(torch.empty(0, self.recipe.width + self.similarity.uncertain, device=self.device))


def _require_finite(values: Tensor, start: int) -> None:
    """Raise a DataError for a batch of images, the first of which is at the index `start`, with NaN or infinity."""
    finite = values.isfinite().reshape(len(values), -1).all(dim=1)
    if not finite.all():
        raise DataError(
            f"The image at index {start + int(finite.int().argmin())} contains NaN or infinite values.",
            remedy="Fix or remove this image.",
        )
