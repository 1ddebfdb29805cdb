"""The similarity of SCAN (Lee et al. 2018): `cross-attention`, over the regions of an image and the words of a caption.

What the original does caption by caption is one product for each length of captions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.recipe.options import Above, OneOf
from vsezoo.similarities.attention import NORMS, weigh_sets
from vsezoo.similarities.pairwise import PairwiseSimilarity, group_by_length
from vsezoo_scan.attention import AGGREGATIONS, aggregate, attend, score_relevance


class CrossAttentionSimilarity(PairwiseSimilarity):
    """`S(I, T)`: each query attends to the context; the cosines of queries and what they attend to are aggregated.

    Args:
        direction: "t2i": words attend to regions (section 3.1.2). "i2t": regions attend to words (section 3.1.1).
        norm: what is done to the products before the softmax. "clipped_l2norm": a leaky ReLU of slope 0.1, then unit
            L2 norm over the queries. "l2norm", "clipped": one of the two. "softmax": a softmax over the queries.
            "no_norm": nothing.
        aggregation: "LogSumExp", "Mean", "Sum" or "Max" of the relevances.
        softmax_scale: inverse temperature λ of the attention (equation 3), `--lambda_softmax` of the original.
        lse_scale: inverse temperature λ of LogSumExp (equation 5), `--lambda_lse` of the original.
    """

    def __init__(
        self,
        *,
        direction: Annotated[str, OneOf("t2i", "i2t")] = "t2i",
        norm: Annotated[str, OneOf(*NORMS)] = "clipped_l2norm",
        aggregation: Annotated[str, OneOf(*AGGREGATIONS)] = "LogSumExp",
        softmax_scale: Annotated[float, Above(0)] = 9.0,
        lse_scale: Annotated[float, Above(0)] = 6.0,
    ) -> None:
        super().__init__()
        self.direction, self.norm, self.aggregation = direction, norm, aggregation
        self.softmax_scale, self.lse_scale = softmax_scale, lse_scale

    def count_numbers(self, images: Embeddings, length: int) -> int:
        """Return how many products a pair has."""
        return images.size * length

    def score(self, images: Embeddings, texts: Embeddings, prepared: Sequence[Tensor], *, paired: bool) -> Tensor:
        """Return the scores `(N, M)`. A region or word of zeros has relevance 0."""
        if images.lengths is None:
            return self._score_regions(images.regions, texts.regions, paired)
        order, parts = [], []
        for chosen, count in group_by_length(images):
            words = texts.regions[chosen] if paired else texts.regions
            parts.append(self._score_regions(images.regions[chosen, :count], words, paired))
            order.append(chosen)
        return torch.cat(parts)[torch.cat(order).argsort()]

    @property
    def attends(self) -> str:
        """Which side attends to the other: "words" or "regions"."""
        return "words" if self.direction == "t2i" else "regions"

    def attention(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the attention `(N, M, L, R)` of the regions of N images and the words of M captions (equation 3)."""
        return weigh_sets(images, texts, self.norm, self.softmax_scale, attends=self.attends)

    def _score_regions(self, regions: Tensor, words: Tensor, paired: bool) -> Tensor:
        """Return the scores of sets without padding: `(N, M)`, or `(N, 1)` of pairs."""
        queries, context = (words, regions) if self.direction == "t2i" else (regions, words)
        products, attention = attend(queries, context, self.norm, self.softmax_scale, paired=paired)
        relevance = score_relevance(queries, context, products, attention, paired=paired)
        scores = aggregate(relevance, self.aggregation, self.lse_scale)
        return scores.T if self.direction == "t2i" and not paired else scores
