"""Stacked cross attention of two sets (Lee et al. 2018, section 3.1), for many pairs of sets at a time.

Sizes: A query sets of Q vectors each, B context sets of S vectors each, D the width of a vector. For `t2i` the words
of a caption are the queries and the regions of an image the context; for `i2t` it is the other way round.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vsezoo.similarities.attention import weigh_products

AGGREGATIONS = ("LogSumExp", "Mean", "Sum", "Max")
"""How the relevances of the queries become the score of the pair."""

EPSILON = 1e-8
"""The least product of norms in a cosine, as in the original code."""


def attend(
    queries: Tensor, context: Tensor, norm: str, smoothing: float, *, paired: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the products of each query with each context vector, and the attention that they give.

    Args:
        queries: `(A, Q, D)`.
        context: `(B, S, D)`.
        norm: one of `NORMS` in `vsezoo.similarities.attention`.
        smoothing: λ, the inverse temperature of the softmax.
        paired: A = B, and each set of queries attends to one context set, the first to the first.

    Returns:
        products and attention, both `(A, Q, B, S)`; with `paired`, `(A, Q, 1, S)`.
    """
    if paired:
        products = (queries @ context.transpose(1, 2))[:, :, None]
    else:
        products = functional.linear(queries.flatten(0, 1), context.flatten(0, 1))
        products = products.view(*queries.shape[:2], *context.shape[:2])
    return products, weigh_products(products, norm, smoothing, queries=1, context=-1)


def score_relevance(
    queries: Tensor, context: Tensor, products: Tensor, attention: Tensor, *, paired: bool = False
) -> Tensor:
    """Return the cosine of each query and the context vector that it attends to (equation 4).

    The attended vectors `w = Σ β c` themselves, of D numbers for each query and context set, are not built:
    `q·w = Σ β (q·c)`, and `‖w‖² = βᵀ G β` with the Gram matrix `G = C Cᵀ` of the context set.

    Returns:
        `(A, Q, B)`; with `paired`, `(A, Q, 1)`. The arguments are those and the results of `attend`.
    """
    gram = context @ context.transpose(1, 2)  # (B, S, S)
    of_context = attention[:, :, 0] if paired else attention.flatten(0, 1).transpose(0, 1)  # (B, AQ or Q, S)
    squared = torch.linalg.vecdot(of_context @ gram, of_context)
    squared = squared if paired else squared.transpose(0, 1)
    lengths = torch.linalg.vector_norm(queries, dim=-1)[..., None]  # (A, Q, 1)
    # What rounding makes negative is zero; the root of zero has no gradient, hence the least value.
    norms = squared.view(products.shape[:3]).clamp(min=EPSILON**2).sqrt()
    relevance: Tensor = torch.linalg.vecdot(attention, products) / (lengths * norms).clamp(min=EPSILON)
    return relevance


def aggregate(relevance: Tensor, aggregation: str, smoothing: float) -> Tensor:
    """Return the scores `(A, B)` of relevances `(A, Q, B)` (equations 5 and 6).

    Args:
        relevance: of each query.
        aggregation: one of `AGGREGATIONS`. LogSumExp is `(1/λ) ln Σ exp(λ r)`, which grows with the number of queries.
        smoothing: λ of LogSumExp.
    """
    if aggregation == "LogSumExp":
        return torch.logsumexp(smoothing * relevance, dim=1) / smoothing
    if aggregation == "Max":
        return relevance.amax(dim=1)
    return relevance.mean(dim=1) if aggregation == "Mean" else relevance.sum(dim=1)
