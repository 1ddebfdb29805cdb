"""A similarity and a loss over sets, sets to compare, and a check of any such similarity; no tests in here."""

from __future__ import annotations

from collections.abc import Callable

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


def require_pairwise(
    similarity: Similarity,
    score_pair: Callable[[Tensor, Tensor], Tensor],
    images: Embeddings,
    texts: Embeddings,
    share: float = 1.0,
) -> None:
    """Require the scores of a similarity, and the gradients of both sides, to be those of each pair by itself.

    Args:
        similarity: of sets.
        score_pair: a slow reference: returns the score of regions `(R, D)` and words `(L, D)`.
        images: sets of regions.
        texts: sets of words.
        share: of the pairs that have a gradient.
    """
    sides = images.regions.requires_grad_(), texts.regions.requires_grad_()
    scores = similarity(images, texts)
    slow = [
        score_pair(regions[:count], words[:length])
        for regions, count in zip(images.regions, images.counts.tolist(), strict=True)
        for words, length in zip(texts.regions, texts.counts.tolist(), strict=True)
    ]
    expected = torch.stack(slow).view(len(images), len(texts))
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=1e-5)
    generator = torch.Generator().manual_seed(1)
    chosen = torch.rand(scores.shape, generator=generator) < share
    gradient = torch.randn(scores.shape, generator=generator) * chosen
    gradients = [torch.autograd.grad(result, sides, gradient) for result in (scores, expected)]
    for found, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


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
