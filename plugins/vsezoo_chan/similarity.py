"""The similarity of CHAN (Pan et al. 2023): `hard-alignment`, over the regions of an image and the words of a caption.

Sizes: N images of R regions, M captions of one length of L words, D the width of an item.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.encoders.scaling import EPSILON
from vsezoo.recipe.options import Above, OneOf
from vsezoo.similarities.pairwise import PairwiseSimilarity

CODINGS = ("VHA", "THA", "VSA")
"""How the products of regions and words become one number for each word (or region)."""
POOLINGS = ("LSE", "Mean", "Max", "Sum", "Softmax")
"""How these become the score of the pair."""


class HardAlignmentSimilarity(PairwiseSimilarity):
    """`S(I, T) = ln Σ_w exp(c_w / β)`, `c_w = max_r v_r · t_w`: each word counts by the one region that fits it best.

    There is nothing to learn. With LSE the score is not multiplied by β again: it is about 10 and grows with the number
    of words.

    Args:
        coding: "VHA": the best region of each word, as in the paper's title. "THA": the best word of each region.
            "VSA": for each region, the cosine with the words that it attends to, weighed by `softmax(v · t / α)`.
        pooling: "LSE", "Mean", "Max" or "Sum" of these; "Softmax": their mean, weighed by `softmax(c / β)`.
        coding_scale: the temperature α of "VSA".
        pooling_scale: the temperature β of "LSE" and "Softmax".
    """

    def __init__(
        self,
        *,
        coding: Annotated[str, OneOf(*CODINGS)] = "VHA",
        pooling: Annotated[str, OneOf(*POOLINGS)] = "LSE",
        coding_scale: Annotated[float, Above(0)] = 0.1,
        pooling_scale: Annotated[float, Above(0)] = 0.1,
    ) -> None:
        super().__init__()
        self.coding, self.pooling = coding, pooling
        self.coding_scale, self.pooling_scale = coding_scale, pooling_scale

    @property
    def attends(self) -> str:
        """Which side attends to the other: "words" or "regions"."""
        return "words" if self.coding == "VHA" else "regions"

    def attention(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the weights `(N, M, L, R)` of regions and words; hard ones are 1 for the best, 0 for the others."""
        words, regions = texts.mask[None, :, :, None], images.mask[:, None, None]
        over, present = (3, regions) if self.coding == "VHA" else (2, words)
        products = torch.einsum("mld,nrd->nmlr", texts.regions, images.regions).masked_fill(~present, -torch.inf)
        if self.coding == "VSA":
            weights = (products / self.coding_scale).softmax(dim=over)
        else:
            weights = torch.zeros_like(products).scatter(over, products.argmax(dim=over, keepdim=True), 1.0)
        return weights * words * regions

    def count_numbers(self, images: Embeddings, length: int) -> int:
        """Return how many products a pair has."""
        return images.size * length

    def score(self, images: Embeddings, texts: Embeddings, prepared: Sequence[Tensor], *, paired: bool) -> Tensor:
        """Return the scores `(N, M)`."""
        regions, words = images.regions, texts.regions
        if paired:
            products = (regions @ words.transpose(1, 2))[:, :, None]
        else:
            products = functional.linear(regions.flatten(0, 1), words.flatten(0, 1))
            products = products.view(*regions.shape[:2], *words.shape[:2])
        mask = None if images.lengths is None else images.mask[:, :, None]
        if self.coding == "VHA":
            if mask is not None:
                products = products.masked_fill(~mask[..., None], -torch.inf)
            return self._pool(products.amax(dim=1))
        codes = products.amax(dim=3) if self.coding == "THA" else self._attend(products, words, paired)
        return self._pool(codes.transpose(1, 2), None if mask is None else mask.transpose(1, 2))

    def _attend(self, products: Tensor, words: Tensor, paired: bool) -> Tensor:
        """Return `(N, R, M)`: of each region and the words that it attends to, the product over the norm of these.

        `‖Σ β t‖² = βᵀ G β` with the Gram matrix of the words.
        """
        weights = (products / self.coding_scale).softmax(dim=3)
        gram = (words @ words.transpose(1, 2))[:, None] if paired else (words @ words.transpose(1, 2))[None]
        by_caption = weights.transpose(1, 2)  # (N, M, R, L)
        squared = torch.linalg.vecdot(by_caption @ gram, by_caption).transpose(1, 2)
        # What rounding makes negative is zero; the root of zero has no gradient, hence the least value.
        norms = squared.clamp(min=EPSILON**2).sqrt()
        cosines: Tensor = torch.linalg.vecdot(weights, products) / (norms + EPSILON)
        return cosines

    def _pool(self, codes: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return scores `(N, M)` of codes `(N, M, K)`, of which a mask that fits says which exist."""
        if mask is not None and self.pooling in ("Mean", "Sum"):
            total = codes.masked_fill(~mask, 0).sum(dim=2)
            return total / mask.sum(dim=2) if self.pooling == "Mean" else total
        if self.pooling in ("Mean", "Sum"):
            return codes.mean(dim=2) if self.pooling == "Mean" else codes.sum(dim=2)
        present = codes if mask is None else codes.masked_fill(~mask, -torch.inf)
        if self.pooling == "Max":
            return present.amax(dim=2)
        if self.pooling == "LSE":
            return torch.logsumexp(present / self.pooling_scale, dim=2)
        weighed: Tensor = torch.linalg.vecdot((present / self.pooling_scale).softmax(dim=2), codes)
        return weighed
