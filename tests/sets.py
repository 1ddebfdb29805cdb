"""A similarity and a loss over sets, and sets to compare; no tests in here."""

from __future__ import annotations

import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.batch import Embeddings
from vsezoo.interfaces import Batch, LossOutput, Similarity
from vsezoo.losses import HingeLoss


class BestRegions(Similarity):
    """The mean, over the words of a caption, of the inner product with the region that fits best."""

    inputs = "sets"

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        products = torch.einsum("nkd,mld->nmlk", images.regions, texts.regions)
        best = products.masked_fill(~images.mask[:, None, None], -torch.inf).amax(dim=3)
        return (best * texts.mask).sum(dim=2) / texts.counts


def draw_sets(count: int, largest: int, generator: torch.Generator, width: int = 4) -> Embeddings:
    """Return sets of 1 to so many items, with noise where there is none."""
    lengths = torch.randint(1, largest + 1, (count,), generator=generator)
    items = torch.randn(count, largest, width, generator=generator)
    return Embeddings(torch.randn(count, width, generator=generator), items, lengths)


def score_slowly(images: Embeddings, texts: Embeddings) -> Tensor:
    """Return the scores of `BestRegions`, set by set."""
    scores = torch.empty(len(images), len(texts))
    for i, (regions, count) in enumerate(zip(images.regions, images.counts, strict=True)):
        for j, (words, length) in enumerate(zip(texts.regions, texts.counts, strict=True)):
            scores[i, j] = (words[:length] @ regions[:count].T).amax(dim=1).mean()
    return scores


class DrawsTogether(HingeLoss):
    """Adds what keeps words and regions short: a loss that reads the sets of both sides."""

    needs = "sets"

    def forward(self, scores: Tensor, images: Embeddings, texts: Embeddings, batch: Batch) -> LossOutput:
        retrieval = super().forward(scores, images.embeddings, texts.embeddings, batch)
        squares = [side.regions[side.mask].square().sum() for side in (images, texts)]
        return LossOutput(retrieval.total + 0.01 * (squares[0] + squares[1]), retrieval.parts)


def register_sets() -> None:
    """Let recipes of this session name the parts."""
    registry.register("similarities", "best-regions", replace=True)(BestRegions)
    registry.register("losses", "draws-together", replace=True)(DrawsTogether)
