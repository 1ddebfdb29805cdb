"""Attention of cross-attention models (Lee et al. 2018, section 3.1) from products of queries and context vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.batch import Embeddings

NORMS = ("clipped_l2norm", "l2norm", "softmax", "clipped", "no_norm")
"""Normalisations of the products of queries and context vectors before the softmax over the context."""

SLOPE = 0.1
"""Negative slope of the leaky ReLU that the original code uses instead of the paper's ReLU."""
EPSILON = 1e-8
"""Added to the norms of the products, as in the original code."""


def weigh_products(
    products: Tensor, norm: str, smoothing: float, *, queries: int, context: int, mask: Tensor | None = None
) -> Tensor:
    """Return the attention from products of queries and context vectors (equations 1 and 3 of the paper).

    `β = softmax over the context of λ · norm(products)`, where the norms are taken over the queries.

    Args:
        products: products of each query and each context vector of a pair of sets, in any shape.
        norm: one of `NORMS`.
        smoothing: λ, the inverse temperature of the softmax.
        queries: the dimension of the queries.
        context: the dimension of the context.
        mask: bool, False for padding in the context, broadcastable; None: no padding.
    """
    logits = functional.leaky_relu(products, SLOPE) if norm.startswith("clipped") else products
    if norm.endswith("l2norm"):
        logits = logits * (smoothing / (torch.linalg.vector_norm(logits, dim=queries, keepdim=True) + EPSILON))
    else:
        logits = smoothing * (logits.softmax(dim=queries) if norm == "softmax" else logits)
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf)
    return logits.softmax(dim=context)


def weigh_sets(images: Embeddings, texts: Embeddings, norm: str, smoothing: float, *, attends: str) -> Tensor:
    """Return the attention `(N, M, L, R)` of N sets of R regions and M sets of L words, 0 for padding.

    It is for looking at: pair by pair, as `vsezoo.explanation` asks for it.

    Args:
        images: sets of regions, perhaps padded.
        texts: sets of words, perhaps padded.
        norm: one of `NORMS`.
        smoothing: λ, the inverse temperature of the softmax.
        attends: the queries: "words", whose weights over the regions add up to 1, or "regions", likewise.
    """
    queries, context = (0, 1) if attends == "words" else (1, 0)
    weights = images.embeddings.new_zeros(len(images), len(texts), texts.size, images.size)
    for row, count in enumerate(images.counts.tolist()):
        for column, length in enumerate(texts.counts.tolist()):
            products = texts.regions[column, :length] @ images.regions[row, :count].T
            found = weigh_products(products, norm, smoothing, queries=queries, context=context)
            weights[row, column, :length, :count] = found
    return weights
