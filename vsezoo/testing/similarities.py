"""Checks of similarities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Similarity
from vsezoo.testing.built import Built
from vsezoo.testing.kit import promise, require, require_equal
from vsezoo.testing.replaying import ReplayedKit
from vsezoo.testing.samples import pad_with_noise

IMAGES, TEXTS = 4, 5
ITEMS = 3
"""Items in the largest set."""


@dataclass
class SimilarityKit(ReplayedKit):
    """The checks of similarities."""

    part = "similarity"

    @property
    def wants_sets(self) -> bool:
        """Whether the similarity takes sets."""
        return bool(self.subject.thing.inputs == "sets")

    def run(self, built: Built) -> dict[str, Tensor]:
        """Return the scores of random unit vectors, or sets of them, drawn from a seed."""
        scores = self._score(built.model.similarity, *self._draw())
        require(isinstance(scores, Tensor), f"scores of type {type(scores).__name__}, not a tensor")
        return {"scores": scores}

    def _draw(self) -> tuple[Embeddings, Embeddings]:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(IMAGES + TEXTS, 1 + ITEMS, self.embed_size, generator=generator)
        unit = functional.normalize(drawn, dim=-1)
        images, texts = unit[:IMAGES], unit[IMAGES:]
        return (
            Embeddings(images[:, 0], images[:, 1:]),
            Embeddings(texts[:, 0], texts[:, 1:], torch.arange(TEXTS).clamp(1, ITEMS)),
        )

    def _score(self, similarity: Similarity, images: Embeddings, texts: Embeddings) -> Tensor:
        """Call `forward` itself, all pairs at once."""
        sides = (images, texts) if self.wants_sets else (images.embeddings, texts.embeddings)
        scores: Tensor = similarity(*sides)
        return scores

    @promise(
        "declarations",
        "inputs is 'vectors' or 'sets', metric 'inner_product' or empty, tile a whole number of pairs.",
    )
    def check_declarations(self) -> None:
        """The declarations of the class are true: its inputs, its tile, and whether it is an inner product."""
        declared = self.subject.thing
        require(declared.inputs in ("vectors", "sets"), f"inputs = {declared.inputs!r}")
        require(declared.metric in ("inner_product", ""), f"metric = {declared.metric!r}")
        require(type(declared.tile) is int and declared.tile >= 0, f"tile = {declared.tile!r}")
        if declared.metric:
            images, texts = self._draw()
            found = self._score(self.build().model.similarity.eval(), images, texts)
            require_equal(found, images.embeddings @ texts.embeddings.T, "the scores, and the inner products")

    @promise(
        "shapes",
        "Put images into rows and captions into columns, and squeeze dimensions by number only.",
    )
    def check_shapes(self) -> None:
        """N images and M captions have finite float32 scores (N, M), also where N or M is 1."""
        similarity = self.build().model.similarity.eval()
        images, texts = self._draw()
        for rows, columns in ((1, 1), (1, TEXTS), (IMAGES, 1), (IMAGES, TEXTS)):
            scores = self._score(similarity, images[:rows], texts[:columns])
            words = f"of {rows} images and {columns} captions"
            require(scores.shape == (rows, columns), f"shape {tuple(scores.shape)} {words}")
            require(scores.dtype == torch.float32, f"dtype {scores.dtype} {words}")
            require(bool(scores.isfinite().all()), f"NaN or infinite scores {words}")

    @promise(
        "blocks",
        "Scale by values of the pair only; a softmax over the batch belongs in a loss.",
    )
    def check_blocks(self) -> None:
        """The score of a pair depends on that pair only: ranks are computed block by block."""
        similarity = self.build().model.similarity.eval()
        images, texts = self._draw()
        whole = self._score(similarity, images, texts)
        block = self._score(similarity, images[1:3], texts[2:])
        require_equal(block, whole[1:3, 2:], "the scores of a block")
        order, other = torch.tensor([2, 0, 3, 1]), torch.tensor([4, 1, 0, 3, 2])
        permuted = self._score(similarity, images[order], texts[other])
        require_equal(permuted, whole[order][:, other], "the scores in another order")
        for row in range(IMAGES):
            for column in range(TEXTS):
                alone = self._score(similarity, images[row : row + 1], texts[column : column + 1])
                require_equal(alone[0, 0], whole[row, column], "the score of a pair alone and among others")

    @promise(
        "direction",
        "Return minus the distance, not the distance.",
    )
    def check_direction(self) -> None:
        """Unless it has parameters, vectors score higher with themselves than with each other."""
        similarity = self.build().model.similarity.eval()
        if any(parameter.requires_grad for parameter in similarity.parameters()):
            return
        images, _ = self._draw()
        scores = self._score(similarity, images, images)
        own = scores.diagonal()
        others = (scores.sum() - own.sum()) / (IMAGES * (IMAGES - 1))
        require(bool(own.mean() > others), f"a mean score of {own.mean():.3g} with itself, of {others:.3g} with others")

    @promise(
        "input-gradients",
        "Never take the root of zero, not even behind torch.where, which multiplies its infinite gradient by zero.",
    )
    def check_input_gradients(self) -> None:
        """Images and captions both get gradients, which are finite even if the two are equal."""
        similarity = self.build().model.similarity.eval()
        images, texts = (self._attach(side) for side in self._draw())
        for other in (texts, self._attach(images)):
            scores = self._score(similarity, images, other)
            read = [side.regions if self.wants_sets else side.embeddings for side in (images, other)]
            gradients = torch.autograd.grad(scores, read, torch.ones_like(scores), allow_unused=True)
            for side, gradient in zip(("images", "captions"), gradients, strict=True):
                require(gradient is not None, f"no gradient for the {side}")
                assert gradient is not None
                equal = "" if other is texts else " that are equal to each other"
                require(bool(gradient.isfinite().all()), f"NaN or infinite gradients for {side}{equal}")
                require(other is not texts or bool(gradient.any()), f"only zeros as gradients for the {side}")

    def _attach(self, side: Embeddings) -> Embeddings:
        return side.map(lambda rows: rows.detach().clone().requires_grad_())

    @promise(
        "padding",
        "Mask the padding of both sides with .mask before means, maxima, softmax and norms over a set.",
        applies=lambda kit: kit.wants_sets,
    )
    def check_padding(self) -> None:
        """Sets padded to a larger size, with any values, have the same scores."""
        similarity = self.build().model.similarity.eval()
        images, texts = self._draw()
        expected = self._score(similarity, images, texts)
        for words, sides in (
            ("captions", (images, pad_with_noise(texts))),
            ("images", (pad_with_noise(images), texts)),
        ):
            require_equal(self._score(similarity, *sides), expected, f"the scores of padded {words}")

    @promise(
        "attention",
        "Return (N, M, words, regions), 0 for padding, and say by `attends` over which side the weights add up to 1.",
        applies=lambda kit: kit.wants_sets and hasattr(kit.subject.thing, "attention"),
    )
    def check_attention(self) -> None:
        """The attention that `vsezoo explain` shows has weights of 0 or more that add up to 1, and none for padding."""
        similarity: Any = self.build().model.similarity.eval()
        images, texts = self._draw()
        attends = getattr(similarity, "attends", "words")
        require(attends in ("words", "regions"), f"attends = {attends!r}")
        found = similarity.attention(images, texts)
        shape = (IMAGES, TEXTS, ITEMS, ITEMS)
        require(isinstance(found, Tensor) and found.shape == shape, f"no tensor of the shape {shape}")
        require(bool(found.isfinite().all() and (found >= 0).all()), "weights below 0, or that are not finite")
        words = texts.mask[None, :, :, None].expand(shape)
        require(not found[~words].any(), "weights of words that are padding")
        over = 3 if attends == "words" else 2
        expected = words.any(dim=over).to(found.dtype)
        require_equal(found.sum(dim=over), expected, f"the sums over the {'regions' if over == 3 else 'words'}")
        padded = similarity.attention(images, pad_with_noise(texts))
        require_equal(padded[:, :, :ITEMS], found, "the attention of padded captions")
