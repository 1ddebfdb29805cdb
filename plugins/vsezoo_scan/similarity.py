"""The similarity of SCAN (Lee et al. 2018): `cross-attention`, over the regions of an image and the words of a caption.

Captions of one length are scored together, so that no word of padding enters a norm: what the original does caption by
caption is one product for each length. Blocks of pairs are kept small enough for the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.interfaces import Similarity
from vsezoo.recipe.options import Above, OneOf
from vsezoo.similarities.attention import NORMS, weigh_sets
from vsezoo_scan.attention import AGGREGATIONS, aggregate, attend, score_relevance

BLOCK = 2**20
"""Products of a region and a word that are held at a time in evaluation: 4 MB in float32."""


class CrossAttentionSimilarity(Similarity):
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

    inputs = "sets"
    tile = 2**18  # `forward` bounds its memory itself, and wants many captions of one length

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

    def forward(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the scores `(N, M)` of N sets of regions and M sets of words.

        A region or word of zeros has relevance 0. A caption has at least one word.
        """
        columns, blocks = [], []
        for chosen, length in _group_by_length(texts):
            words = texts.regions[chosen, :length]
            columns.append(chosen)
            blocks.append(self._score(images, words))
        return torch.cat(blocks, dim=1)[:, torch.cat(columns).argsort()]

    @property
    def attends(self) -> str:
        """Which side attends to the other: "words" or "regions"."""
        return "words" if self.direction == "t2i" else "regions"

    def attention(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the attention `(N, M, L, R)` of the regions of N images and the words of M captions (equation 3)."""
        return weigh_sets(images, texts, self.norm, self.softmax_scale, attends=self.attends)

    def _score(self, images: Embeddings, words: Tensor) -> Tensor:
        """Return the scores `(N, M)` of images and captions of one length, `(M, L, D)`."""
        parts = []
        for chosen, count in _group_by_length(images):
            regions = images.regions[chosen, :count]
            rows = len(chosen) if torch.is_grad_enabled() else max(1, BLOCK // (words.shape[:2].numel() * count))
            parts.append((chosen, torch.cat([self._score_block(block, words) for block in torch.split(regions, rows)])))
        order = torch.cat([chosen for chosen, _ in parts]).argsort()
        return torch.cat([scores for _, scores in parts])[order]

    def _score_block(self, regions: Tensor, words: Tensor) -> Tensor:
        queries, context = (words, regions) if self.direction == "t2i" else (regions, words)
        products, attention = attend(queries, context, self.norm, self.softmax_scale)
        relevance = score_relevance(queries, context, products, attention)
        scores = aggregate(relevance, self.aggregation, self.lse_scale)
        return scores.T if self.direction == "t2i" else scores


def _group_by_length(sets: Embeddings) -> Iterator[tuple[Tensor, int]]:
    """Yield the indices of the sets of each length, and that length."""
    lengths = sets.counts
    for length in torch.unique(lengths).tolist():
        yield (lengths == length).nonzero()[:, 0], length
