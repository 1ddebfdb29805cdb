"""Checks of losses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Batch, Loss, LossOutput, Tokens
from vsezoo.losses.sides import choose_sides, wants_sets
from vsezoo.testing.built import Built
from vsezoo.testing.kit import promise, require, require_equal
from vsezoo.testing.replaying import ReplayedKit
from vsezoo.testing.samples import CAPTIONS, pad_with_noise

PAIRS = 6
ITEMS = 3
STEP = 1e-5
"""Step of the central differences, in float64: their error is then about 1e-10."""


@dataclass(frozen=True)
class Inputs:
    """Inputs of a loss."""

    scores: Tensor
    images: Embeddings
    texts: Embeddings
    batch: Batch

    def select(self, rows: Tensor) -> Inputs:
        """Return the pairs of these indices."""
        batch, tokens = self.batch, self.batch.tokens
        picked = Batch(
            batch.images[rows],
            Tokens(tokens.ids[rows], tokens.lengths[rows]),
            batch.image_index[rows],
            batch.caption_index[rows],
        )
        return Inputs(self.scores[rows][:, rows], self.images[rows], self.texts[rows], picked)

    def double(self) -> Inputs:
        """Return the same in float64."""
        images, texts = (side.map(Tensor.double) for side in (self.images, self.texts))
        return Inputs(self.scores.double(), images, texts, self.batch)

    def tensors(self) -> dict[str, Tensor]:
        """Return the inputs that may have a gradient, by name."""
        return {"scores": self.scores, **_name("images", self.images), **_name("texts", self.texts)}

    def replace(self, name: str, value: Tensor) -> Inputs:
        """Return the same with one of `tensors` changed."""
        side, _, field = name.partition(".")
        changed: Any = replace(getattr(self, side), **{field: value}) if field else value
        return replace(self, **{side: changed})


def _name(side: str, embeddings: Embeddings) -> dict[str, Tensor]:
    items = {} if embeddings.items is None else {f"{side}.items": embeddings.items}
    return {f"{side}.embeddings": embeddings.embeddings, **items}


@dataclass
class LossKit(ReplayedKit):
    """The checks of losses."""

    part = "loss"

    @property
    def wants_sets(self) -> bool:
        """Whether the loss takes sets."""
        return any(wants_sets(self.subject.thing))

    def run(self, built: Built) -> dict[str, Tensor]:
        """Return the loss of a batch drawn from a seed."""
        return {"total": self._lose(built.loss, self._draw(built)).total}

    def _lose(self, loss: Loss, inputs: Inputs) -> LossOutput:
        output: LossOutput = loss(inputs.scores, *choose_sides(loss, inputs.images, inputs.texts), inputs.batch)
        require(isinstance(output, LossOutput), f"{type(output).__name__}, not a LossOutput")
        return output

    def _draw(self, built: Built) -> Inputs:
        """Return scores in (-1, 1), unit vectors, and captions, the last two of which are of one image.

        For a loss that takes extras, of probabilistic embeddings, scores are minus distances, in (-4, 0).
        """
        generator = torch.Generator().manual_seed(0)
        drawn = functional.normalize(torch.randn(2 * PAIRS, self.embed_size, generator=generator), dim=-1)
        images, texts = drawn[:PAIRS], drawn[PAIRS:]
        regions, words = torch.randn(2, PAIRS, ITEMS, self.embed_size, generator=generator)
        index = torch.arange(PAIRS)
        batch = Batch(
            torch.zeros(PAIRS, 1),
            Tokens.pad(built.model.tokenizer.encode(CAPTIONS[:PAIRS])),
            index.clamp(max=PAIRS - 2),
            index,
        )
        scores = 2 * torch.rand(PAIRS, PAIRS, generator=generator) - 1
        if built.loss.needs == "extras":
            scores = 2 * scores - 2
        of_images, of_texts = wants_sets(built.loss)
        return Inputs(
            scores,
            Embeddings(images, regions if of_images else None),
            Embeddings(texts, words if of_texts else None),
            batch,
        )

    def _build_loss(self) -> tuple[Loss, Inputs]:
        built = self.build()
        return built.loss.eval(), self._draw(built)

    @promise(
        "scalar",
        "Return LossOutput(total, parts) with the parts detached; never divide by a number of negatives that may be 0.",
    )
    def check_scalar(self) -> None:
        """It is a finite float32 scalar, with finite named parts that are detached.

        This holds for one pair, two or more, also if all have the same image, in every epoch.
        """
        loss, inputs = self._build_loss()
        same = replace(inputs, batch=replace(inputs.batch, image_index=torch.zeros(PAIRS, dtype=torch.int64)))
        cases = {f"{size} pairs": inputs.select(torch.arange(size)) for size in (1, 2, PAIRS)}
        for epoch in (0, 1, 10):
            loss.start_epoch(epoch)
            for words, case in {**cases, "pairs of one image": same}.items():
                output = self._lose(loss, replace(case, scores=case.scores.clone().requires_grad_()))
                figures = {"total": output.total, **output.parts}
                for name, figure in figures.items():
                    found = f"{name} of {words} in epoch {epoch}"
                    require(isinstance(figure, Tensor) and figure.dim() == 0, f"{found} is not a scalar tensor")
                    require(bool(figure.isfinite()), f"{found} is {figure.item()}")
                    require(name == "total" or not figure.requires_grad, f"{found} is not detached")
                require(output.total.dtype == torch.float32, f"the total has dtype {output.total.dtype}")

    @promise(
        "forms",
        "Mask the padding with .mask before means, maxima, softmax and norms over a set.",
        applies=lambda kit: kit.wants_sets,
    )
    def check_forms(self) -> None:
        """Sets padded to a larger size, with the same lengths, give the same loss."""
        loss, inputs = self._build_loss()
        padded = replace(inputs, images=pad_with_noise(inputs.images), texts=pad_with_noise(inputs.texts))
        require_equal(self._lose(loss, padded).total, self._lose(loss, inputs).total, "the loss of padded sets")

    @promise(
        "direction",
        "Check the signs: higher similarities are better.",
    )
    def check_direction(self) -> None:
        """It falls if the scores of matching pairs, which are on the diagonal, rise."""
        loss, inputs = self._build_loss()
        before = self._lose(loss, inputs).total
        raised = replace(inputs, scores=inputs.scores + 0.1 * torch.eye(PAIRS))
        after = self._lose(loss, raised).total
        require(bool(after < before), f"{after:.6g} after all matching scores rose by 0.1, {before:.6g} before")

    @promise(
        "differences",
        "Check for detached tensors, code under no_grad, and the backward of an autograd.Function.",
    )
    def check_differences(self) -> None:
        """Its gradient agrees with central differences in float64."""
        loss, inputs = self._build_loss()
        loss, inputs = loss.double(), inputs.double()
        generator = torch.Generator().manual_seed(1)
        for name, start in inputs.tensors().items():
            point = start.clone().requires_grad_()
            total = self._lose(loss, inputs.replace(name, point)).total
            slope = torch.autograd.grad(total, point, allow_unused=True)[0] if total.requires_grad else None
            for _ in range(3):
                direction = torch.randn(start.shape, generator=generator, dtype=torch.float64)
                ends = [
                    self._lose(loss, inputs.replace(name, start + sign * STEP * direction)).total.detach()
                    for sign in (1, -1)
                ]
                numeric = (ends[0] - ends[1]) / (2 * STEP)
                stated = (slope * direction).sum() if slope is not None else torch.zeros_like(numeric)
                require_equal(stated, numeric, f"the derivative along {name}, by gradient and by differences", 1e-6)

    @promise(
        "pair-order",
        "Take matching pairs from the diagonal, and images of captions from batch.image_index, not from positions.",
    )
    def check_pair_order(self) -> None:
        """It does not depend on the order of the pairs in a batch."""
        loss, inputs = self._build_loss()
        order = torch.tensor([4, 0, 5, 2, 1, 3])
        found = self._lose(loss, inputs.select(order)).total
        require_equal(found, self._lose(loss, inputs).total, "the loss of the pairs in another order")

    @promise(
        "sum",
        "Sum instead of taking a mean, so that a pair weighs the same in a smaller last batch and training.grad_clip "
        "means what it does in the papers; or declare additive = False.",
        applies=lambda kit: kit.subject.thing.additive,
    )
    def check_sum(self) -> None:
        """It is a sum over the batch: the losses of unrelated pairs add up."""
        loss, inputs = self._build_loss()
        halves = torch.arange(PAIRS).chunk(2)
        scores = torch.full((PAIRS, PAIRS), -1e4)
        for rows in halves:
            scores[rows[:, None], rows] = inputs.scores[rows[:, None], rows]
        whole = self._lose(loss, replace(inputs, scores=scores)).total
        parts = sum(self._lose(loss, inputs.select(rows)).total for rows in halves)
        require_equal(whole, torch.as_tensor(parts), "the loss of two unrelated halves, and the sum of both", 1e-4)

    @promise(
        "plateau",
        "Keep the inherited plateau; override it only for losses with costly parts in addition to the scores.",
    )
    def check_plateau(self) -> None:
        """The method plateau returns the loss of equal scores, which is used to detect a collapse."""
        loss, inputs = self._build_loss()
        output = self._lose(loss, inputs)
        found = loss.plateau(inputs.scores, *choose_sides(loss, inputs.images, inputs.texts), inputs.batch, output)
        expected = self._lose(loss, replace(inputs, scores=torch.zeros_like(inputs.scores))).total
        require(isinstance(found, Tensor), f"{type(found).__name__}, not a tensor")
        require_equal(found, expected, "plateau, and the loss of zeros")

    @promise(
        "share",
        "Read neither batch.images nor its length; the scores have a row for each pair of the whole batch.",
    )
    def check_share(self) -> None:
        """It does not read batch.images: with several processes, each has its own share only."""
        loss, inputs = self._build_loss()
        share = replace(inputs, batch=replace(inputs.batch, images=inputs.batch.images[: PAIRS // 2]))
        found = self._lose(loss, share).total
        require_equal(found, self._lose(loss, inputs).total, "the loss if batch.images holds half of the images")
