"""The global node of a set (Diao et al. 2021, section 3.1): its items, weighted by what they and their mean are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from vsezoo.encoders.scaling import scale_rows


class GlobalNode(nn.Module):
    """`l2n(Σ p_k x_k)` with `p = softmax(w · (tanh(W x_k) ⊙ tanh(U mean(x))))`.

    Args:
        width: D, of an item.
        dropout: after each tanh, in training.
        positions: with batch norm before each tanh: of W x over the positions of a set, which must be so many, and of
            U mean(x) over its numbers; 0: without.
    """

    def __init__(self, width: int, dropout: float, positions: int = 0) -> None:
        super().__init__()
        self.local, self.whole, self.weight = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.local_norm = WholeBatchNorm(positions) if positions else nn.Identity()
        self.whole_norm = WholeBatchNorm(width) if positions else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        for layer in (self.local, self.whole, self.weight):
            init_linear(layer)

    def forward(self, items: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the nodes `(B, D)` of sets `(B, K, D)`.

        Args:
            items: padded at the end.
            mask: `(B, K)` bool, which items are there; None: all.
        """
        if mask is None:
            mean = items.mean(dim=1)
        else:
            items = items * mask[:, :, None]
            mean = items.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        local = self.dropout(self.local_norm(self.local(items)).tanh())
        whole = self.dropout(self.whole_norm(self.whole(mean)).tanh())
        logits = self.weight(local * whole[:, None])[..., 0]
        if mask is not None:
            logits = logits.masked_fill(~mask, -torch.inf)
        return scale_rows((logits.softmax(dim=1)[:, None] @ items)[:, 0])


def init_linear(layer: nn.Linear) -> None:
    """Draw a matrix from U(-r, r), r = √(6 / (inputs + outputs)), and set the bias to zero, as the original does."""
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)


class WholeBatchNorm(nn.BatchNorm1d):
    """Batch norm whose statistics in training are those of the whole batch, over all processes.

    `torch.nn.SyncBatchNorm` does that on GPUs alone.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return what `(B, C)` or `(B, C, D)` is normalised to."""
        if not (self.training and distributed.is_available() and distributed.is_initialized()):
            return super().forward(input)
        others = [dimension for dimension in range(input.dim()) if dimension != 1]
        count = torch.full((1,), float(input.numel() // input.shape[1]), device=input.device)
        sums: Tensor = _Sum.apply(torch.cat([input.sum(dim=others), count]))
        mean = sums[:-1] / sums[-1]
        deviation = input - _align(mean, input)
        variance: Tensor = _Sum.apply(deviation.square().sum(dim=others)) / sums[-1]
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * sums[-1] / (sums[-1] - 1), self.momentum)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps).rsqrt()
        return deviation * _align(scale, input) + _align(self.bias, input)


def _align(channels: Tensor, rows: Tensor) -> Tensor:
    return channels.view(1, -1, *(1 for _ in rows.shape[2:]))


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total
