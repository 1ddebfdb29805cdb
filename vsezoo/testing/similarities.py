"""What similarities promise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.testing.kit import promise, require, require_equal
from vsezoo.testing.parts import Built, PartKit

IMAGES, TEXTS = 4, 5


@dataclass
class SimilarityKit(PartKit):
    """The checks of similarities."""

    part = "similarity"

    def run(self, built: Built) -> dict[str, Tensor]:
        """Return the scores of unit vectors drawn from a seed."""
        scores = built.model.similarity(*self._draw())
        require(isinstance(scores, Tensor), f"scores of type {type(scores).__name__}, no tensor")
        return {"scores": scores}

    def _draw(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(IMAGES + TEXTS, self.embed_size, generator=generator)
        unit = functional.normalize(drawn, dim=-1)
        return unit[:IMAGES], unit[IMAGES:]

    @promise(
        "shapes",
        "Put images into rows and captions into columns, and squeeze no dimension but by its number.",
    )
    def check_shapes(self) -> None:
        """N images and M captions have finite float32 scores (N, M), also where N or M is 1."""
        similarity = self.build().model.similarity.eval()
        images, texts = self._draw()
        for rows, columns in ((1, 1), (1, TEXTS), (IMAGES, 1), (IMAGES, TEXTS)):
            scores = similarity(images[:rows], texts[:columns])
            words = f"of {rows} images and {columns} captions"
            require(scores.shape == (rows, columns), f"the shape {tuple(scores.shape)} {words}")
            require(scores.dtype == torch.float32, f"{scores.dtype} {words}")
            require(bool(scores.isfinite().all()), f"NaN or infinite numbers {words}")

    @promise(
        "blocks",
        "Scale by what belongs to the pair alone; a softmax over the batch belongs into a loss.",
    )
    def check_blocks(self) -> None:
        """The score of a pair does not depend on what else is scored: ranks are counted in blocks."""
        similarity = self.build().model.similarity.eval()
        images, texts = self._draw()
        whole = similarity(images, texts)
        require_equal(similarity(images[1:3], texts[2:]), whole[1:3, 2:], "the scores of a block")
        for row in range(IMAGES):
            for column in range(TEXTS):
                alone = similarity(images[row : row + 1], texts[column : column + 1])
                require_equal(alone[0, 0], whole[row, column], "the score of a pair alone and beside others")

    @promise(
        "direction",
        "Return minus the distance, not the distance.",
    )
    def check_direction(self) -> None:
        """Unless it has something to learn, vectors fit themselves better than each other."""
        similarity = self.build().model.similarity.eval()
        if any(parameter.requires_grad for parameter in similarity.parameters()):
            return
        images, _ = self._draw()
        scores = similarity(images, images)
        own = scores.diagonal()
        others = (scores.sum() - own.sum()) / (IMAGES * (IMAGES - 1))
        require(bool(own.mean() > others), f"a mean score of {own.mean():.3g} with itself, of {others:.3g} with others")

    @promise(
        "input-gradients",
        "Take no root of zero, nor hide it behind torch.where, which multiplies its infinite gradient by zero.",
    )
    def check_input_gradients(self) -> None:
        """Images and captions both get gradients, which are finite also where the two are equal."""
        similarity = self.build().model.similarity.eval()
        images, texts = (rows.clone().requires_grad_() for rows in self._draw())
        for other in (texts, images.detach().clone().requires_grad_()):
            scores = similarity(images, other)
            gradients = torch.autograd.grad(scores, (images, other), torch.ones_like(scores), allow_unused=True)
            for side, gradient in zip(("images", "captions"), gradients, strict=True):
                require(gradient is not None, f"none for the {side}")
                assert gradient is not None
                equal = "" if other is texts else " that are equal to each other"
                require(bool(gradient.isfinite().all()), f"NaN or infinite ones for {side}{equal}")
                require(other is not texts or bool(gradient.any()), f"zeros alone for the {side}")
