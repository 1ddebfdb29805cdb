"""The similarities of SGRAF (Diao et al. 2021): `sgr` and `saf`, over alignment vectors of regions and words.

Sizes: N images of R regions, M captions of one length of L words, D the width of an item, S that of an alignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.encoders.scaling import EPSILON, scale_rows
from vsezoo.recipe.options import Above, AtLeast, AtMost, OneOf
from vsezoo.similarities.attention import weigh_products, weigh_sets
from vsezoo.similarities.pairwise import PairwiseSimilarity
from vsezoo_sgraf.nodes import init_linear

NORM = "clipped_l2norm"
"""What is done to the products of regions and words before the attention."""
MOST_STEPS = 16
"""Of the graph."""


class AlignmentSimilarity(PairwiseSimilarity):
    """What both share: a vector for each word, `l2n(W (c_w - t_w)²)`, and one for the global nodes (section 3.2).

    c_w is what word t_w attends to among the regions, scaled to unit L2 norm.

    Args:
        embed_size: D.
        sim_dim: S, the width of an alignment vector.
        softmax_scale: inverse temperature λ of the attention; the original has 9 in its code.
    """

    def __init__(
        self,
        *,
        embed_size: int,
        sim_dim: Annotated[int, AtLeast(1)] = 256,
        softmax_scale: Annotated[float, Above(0)] = 9.0,
    ) -> None:
        super().__init__()
        self.softmax_scale = softmax_scale
        self.align_items, self.align_nodes = nn.Linear(embed_size, sim_dim), nn.Linear(embed_size, sim_dim)
        self.rate = nn.Linear(sim_dim, 1)
        for layer in (self.align_items, self.align_nodes, self.rate):
            init_linear(layer)

    def count_numbers(self, images: Embeddings, length: int) -> int:
        """Return about how many numbers a pair takes: attended vectors and a few alignments for each word."""
        return (1 + length) * (self.align_items.in_features + 3 * self.align_items.out_features)

    def attention(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the attention `(N, M, L, R)` of the words of M captions to the regions of N images (section 3.2)."""
        return weigh_sets(images, texts, NORM, self.softmax_scale, attends="words")

    def align(self, images: Embeddings, texts: Embeddings, *, paired: bool) -> Tensor:
        """Return the alignment vectors `(N, M, 1 + L, S)`, that of the global nodes first; see `score`."""
        regions, words = images.regions, texts.regions
        count, length = (1 if paired else len(words)), words.shape[1]
        if paired:
            products, targets = regions @ words.transpose(1, 2), words
            nodes = (images.embeddings - texts.embeddings).square()[:, None]
        else:
            products, targets = functional.linear(regions.flatten(0, 1), words.flatten(0, 1)), words.flatten(0, 1)
            nodes = (images.embeddings[:, None] - texts.embeddings).square()
        products = products.view(*regions.shape[:2], count, length)
        mask = None if images.lengths is None else images.mask[:, :, None, None]
        attention = weigh_products(products, NORM, self.softmax_scale, queries=3, context=1, mask=mask)
        attended = scale_rows(attention.flatten(2).transpose(1, 2) @ regions)
        items = scale_rows(self.align_items((attended - targets).square()))
        items = items.view(len(regions), count, length, -1)
        return torch.cat([scale_rows(self.align_nodes(nodes))[:, :, None], items], dim=2)


class GraphStep(nn.Module):
    """A step of the graph (section 3.3): `ReLU(W_g (softmax(Q Kᵀ) S))`, with queries and keys of the alignments S."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.update = (nn.Linear(width, width) for _ in range(3))
        for layer in (self.query, self.key, self.update):
            init_linear(layer)

    def join(self) -> tuple[Tensor, Tensor]:
        """Return the matrix and the bias that make of an alignment what is multiplied with the others.

        `(W_q s + b_q) · (W_k s' + b_k)` is `(W_kᵀ W_q s + W_kᵀ b_q) · s'` and something that does not depend on s',
        which the softmax over s' takes out: one product in place of two.
        """
        return self.key.weight.T @ self.query.weight, self.key.weight.T @ self.query.bias

    def forward(self, queries: Tensor, nodes: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
        """Return the new alignments of `queries`, some of the nodes."""
        edges = (functional.linear(queries, matrix, bias) @ nodes.transpose(-1, -2)).softmax(dim=-1)
        return functional.relu(self.update(edges @ nodes))


class SGRSimilarity(AlignmentSimilarity):
    """`σ(w · s_0 + b)` with the global alignment s_0 after some steps of a graph over all alignments (section 3.3).

    Args:
        steps: K, each with weights of its own; 3 in the paper.
        **of_alignments: `sim_dim` and `softmax_scale`, see `AlignmentSimilarity`.
    """

    without_gradient = tuple(f"steps.{step}.key.bias" for step in range(MOST_STEPS))  # the softmax takes them out

    def __init__(self, *, steps: Annotated[int, AtLeast(1), AtMost(MOST_STEPS)] = 3, **of_alignments: Any) -> None:
        super().__init__(**of_alignments)
        self.steps = nn.ModuleList(GraphStep(self.rate.in_features) for _ in range(steps))

    def prepare(self) -> tuple[Tensor, ...]:
        """Return matrix and bias of each step, see `GraphStep.join`."""
        return tuple(tensor for step in self.steps for tensor in step.join())  # type: ignore[operator]

    def score(self, images: Embeddings, texts: Embeddings, prepared: Sequence[Tensor], *, paired: bool) -> Tensor:
        """Return the scores `(N, M)`, between 0 and 1."""
        nodes = self.align(images, texts, paired=paired)
        shape, nodes = nodes.shape[:2], nodes.flatten(0, 1)
        for index, step in enumerate(self.steps):
            # Only the global alignment of the last step is read.
            queries = nodes if index + 1 < len(self.steps) else nodes[:, :1]
            nodes = step(queries, nodes, *prepared[2 * index : 2 * index + 2])
        scores: Tensor = self.rate(nodes[:, 0]).sigmoid().view(shape)
        return scores


class SAFSimilarity(AlignmentSimilarity):
    """`σ(w · l2n(Σ α_i s_i) + b)`, `α = l1n(σ(BN(w_a · s + b_a)))`: each alignment counts as it deserves (section 3.4).

    In training, batch norm takes the statistics of one caption with all images of the batch, so that the score of a
    pair depends on the others; afterwards it takes running ones. They follow the captions one by one, as in the
    original, which makes them those of about the last twenty.

    Args:
        batch_statistics: train with the statistics of the batch; False: with the running ones, which then stay as they
            are, and each score is that of its pair alone.
        statistics_order: in which order the running statistics follow the captions of a batch. "longest_first": as the
            original sorts its batches, so that the shortest captions decide. "batch": as they come.
        **of_alignments: `sim_dim` and `softmax_scale`, see `AlignmentSimilarity`.
    """

    without_gradient = ("attend.bias",)  # batch norm takes it out

    def __init__(
        self,
        *,
        batch_statistics: bool = True,
        statistics_order: Annotated[str, OneOf("longest_first", "batch")] = "longest_first",
        **of_alignments: Any,
    ) -> None:
        super().__init__(**of_alignments)
        self.batch_statistics, self.statistics_order = batch_statistics, statistics_order
        self.attend, self.norm = nn.Linear(self.rate.in_features, 1), nn.BatchNorm1d(1)
        init_linear(self.attend)
        self._seen: list[tuple[Tensor, Tensor]] | None = None

    def couples_images(self) -> bool:
        """Return whether it trains with the statistics of the batch."""
        return self.training and self.batch_statistics

    def score_all(self, images: Embeddings, texts: Embeddings) -> Tensor:
        """Return the scores `(N, M)`, and in training let the running statistics follow."""
        seen = self._seen = [] if self.couples_images() else None
        scores = super().score_all(images, texts)
        self._seen = None
        if seen:
            means, variances = (torch.cat(part) for part in zip(*seen, strict=True))
            self._follow(means, variances, len(images), texts.counts)
        return scores

    def score(self, images: Embeddings, texts: Embeddings, prepared: Sequence[Tensor], *, paired: bool) -> Tensor:
        """Return the scores `(N, M)`, between 0 and 1."""
        nodes = self.align(images, texts, paired=paired)
        gates = self._normalize(self.attend(nodes)[..., 0]).sigmoid()
        weights = gates / (gates.sum(dim=-1, keepdim=True) + EPSILON)
        scores: Tensor = self.rate(scale_rows((weights[:, :, None] @ nodes)[:, :, 0])).sigmoid()[..., 0]
        return scores

    def _normalize(self, logits: Tensor) -> Tensor:
        """Return logits `(N, M, 1 + L)` after batch norm, caption by caption in training."""
        if self.couples_images():
            variance, mean = torch.var_mean(logits, dim=(0, 2), correction=0, keepdim=True)
            if self._seen is not None:
                self._seen.append((mean[0, :, 0].detach(), variance[0, :, 0].detach()))
        else:
            mean, variance = self.norm.get_buffer("running_mean"), self.norm.get_buffer("running_var")
        return (logits - mean) * (variance + self.norm.eps).rsqrt() * self.norm.weight + self.norm.bias

    def _follow(self, means: Tensor, variances: Tensor, images: int, lengths: Tensor) -> None:
        """Move the running statistics by those of each caption, given with the longest first, as `score_all` goes."""
        order = torch.argsort(lengths, descending=True, stable=True)
        counts = images * (1 + lengths[order])
        variances = variances * counts / (counts - 1)
        if self.statistics_order == "batch":
            means, variances = means[order.argsort()], variances[order.argsort()]
        momentum = self.norm.momentum
        assert momentum is not None
        assert self.norm.num_batches_tracked is not None
        for name, values in (("running_mean", means), ("running_var", variances)):
            later = torch.arange(len(values) - 1, -1, -1, device=values.device)
            weights = momentum * (1 - momentum) ** later
            self.norm.get_buffer(name).mul_((1 - momentum) ** len(values)).add_(weights @ values)
        self.norm.num_batches_tracked.add_(len(lengths))
