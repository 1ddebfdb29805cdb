"""Pooling by name: reduce the regions of an image, cells of a grid or words of a caption to one vector.

Sizes: B sets, K items in the largest of them, D the width of an item.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from vsezoo.encoders.recurrence import average_directions

LOWEST = -10_000.0
"""Value of padding before items are sorted, as in the original code: below any item."""


class Pooling(nn.Module):
    """Pools `(B, K, D)` items, of which set b has the first `lengths[b]`, to `(B, D)`. An empty set becomes zeros."""

    def forward(self, items: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return one vector for each set.

        Args:
            items: `(B, K, D)`, with arbitrary padding at the end.
            lengths: `(B,)`, on any device; None: all sets have K items.
        """
        if not items.shape[1]:
            return items.new_zeros(len(items), items.shape[2])
        if lengths is None:
            return self.pool(items)
        lengths = lengths.to(items.device)
        present = torch.arange(items.shape[1], device=items.device) < lengths[:, None]
        return self.pool_padded(items, lengths, present[:, :, None])

    def pool(self, items: Tensor) -> Tensor:
        """Pool sets of K items each."""
        raise NotImplementedError

    def pool_padded(self, items: Tensor, lengths: Tensor, present: Tensor) -> Tensor:
        """Pool sets of different sizes; `present` is `(B, K, 1)` bool."""
        raise NotImplementedError


class MeanPooling(Pooling):
    """The mean of the items."""

    def pool(self, items: Tensor) -> Tensor:
        """Return `(B, D)`."""
        return items.mean(dim=1)

    def pool_padded(self, items: Tensor, lengths: Tensor, present: Tensor) -> Tensor:
        """Return `(B, D)`."""
        return items.masked_fill(~present, 0).sum(dim=1) / lengths.clamp(min=1)[:, None]


class MaxPooling(Pooling):
    """The maximum of the items in each dimension."""

    def pool(self, items: Tensor) -> Tensor:
        """Return `(B, D)`."""
        return items.amax(dim=1)

    def pool_padded(self, items: Tensor, lengths: Tensor, present: Tensor) -> Tensor:
        """Return `(B, D)`."""
        return items.masked_fill(~present, LOWEST).amax(dim=1).masked_fill(lengths[:, None] < 1, 0)


class GeneralizedPooling(Pooling):
    """GPO, a pooling with learned weights (Chen et al. 2021): `v_d = Σ_k θ_k max_k(x_d)`.

    `max_k(x_d)` is the k-th largest number of the items in dimension d, each dimension sorted by itself, and
    `θ = softmax(u · h_k / 0.1)` with h the states of a bidirectional GRU over the codes of the positions 1 to K. The
    weights depend only on the size of the set; mean, max and their mixtures are special cases.
    """

    WIDTH = 32  # of the position codes and the states
    TEMPERATURE = 0.1

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(self.WIDTH, self.WIDTH, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(self.WIDTH, 1, bias=False)

    def weigh(self, sizes: Tensor) -> Tensor:
        """Return the weights `(U, K)` of sets of these sizes `(U,)`, each 1 or more; K is the largest."""
        sizes, device = sizes.cpu(), self.linear.weight.device
        longest = int(sizes.max())
        # In float32, and with torch's own loop over the steps: they are so narrow that a loop in Python costs more.
        with torch.autocast(device.type, enabled=False):
            codes = encode_positions(longest, self.WIDTH).to(self.linear.weight)
            packed = pack_padded_sequence(
                codes.expand(len(sizes), -1, -1), sizes, batch_first=True, enforce_sorted=False
            )
            states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
            scores: Tensor = self.linear(average_directions(states))[:, :, 0]
        absent = torch.arange(longest) >= sizes[:, None]
        return (scores / self.TEMPERATURE).masked_fill(absent.to(device), -torch.inf).softmax(dim=1)

    def pool(self, items: Tensor) -> Tensor:
        """Return `(B, D)`."""
        return _add_sorted(items, self.weigh(torch.tensor([items.shape[1]]))[0])

    def pool_padded(self, items: Tensor, lengths: Tensor, present: Tensor) -> Tensor:
        """Return `(B, D)`."""
        sizes, place = torch.unique(lengths.clamp(min=0), return_inverse=True)
        weights = self.weigh(sizes.clamp(min=1))  # (U, K'), K' the largest size
        if items.device.type == "cpu":
            return _pool_by_size(items, sizes, place, weights)
        return _pool_together(items, present, weights[place])


POOLINGS: dict[str, Callable[[], Pooling]] = {"mean": MeanPooling, "max": MaxPooling, "gpo": GeneralizedPooling}
"""Values of the option `pool` of encoders."""


def encode_positions(count: int, width: int) -> Tensor:
    """Return codes `(count, width)` of positions from 0: alternating sine and cosine (Vaswani et al. 2017)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000) / width))
    angles = torch.arange(count)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def _pool_by_size(items: Tensor, sizes: Tensor, place: Tensor, weights: Tensor) -> Tensor:
    """Return the sums of sorted items, those of the sets of one size at a time, so that no padding is sorted."""
    order = place.argsort()
    parts = torch.split(items.index_select(0, order), place.bincount().tolist())
    each = zip(parts, sizes.tolist(), weights, strict=True)
    pooled = [_add_sorted(part[:, :size], weight[:size]) for part, size, weight in each]
    return torch.cat(pooled).index_select(0, order.argsort())


def _pool_together(items: Tensor, present: Tensor, weights: Tensor) -> Tensor:
    """Return the sums of sorted items of all sets at once, the fewest operations; weights `(B, K')`."""
    items, present = items[:, : weights.shape[1]], present[:, : weights.shape[1]]
    # Padding is sorted to the end, so that it keeps its positions.
    ordered = _sort(items.masked_fill(~present, LOWEST)).masked_fill(~present.transpose(1, 2), 0)
    return (ordered @ weights[:, :, None])[:, :, 0]


def _add_sorted(items: Tensor, weights: Tensor) -> Tensor:
    """Return `Σ_k θ_k max_k(x_d)` of sets of K items each, in float32: in bfloat16, that product is slow on a CPU."""
    with torch.autocast(items.device.type, enabled=False):
        return _sort(items.to(weights)) @ weights


def _sort(items: Tensor) -> Tensor:
    """Return `(B, D, K)`, descending; contiguous numbers are sorted in less than half the time."""
    return items.transpose(1, 2).contiguous().sort(dim=-1, descending=True).values
