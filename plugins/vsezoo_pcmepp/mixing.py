"""Mixed samples of PCME++: some pictures of a batch get a part of another one, and labels their shares."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def mix_samples(pictures: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Mix a share of the pictures of a batch, each with the one at the same place from the other end.

    Half of them by Mixup (Zhang et al. 2018), `λ x + (1 - λ) x'`, half by CutMix (Yun et al. 2019), a box of x' pasted
    into x; λ is drawn from Beta(2, 2), and for a box it is the share that x keeps. All is drawn from torch's generator.

    Args:
        pictures: `(B, 3, S, S)`.
        ratio: share of the pictures that is mixed.

    Returns:
        pictures, and `(B, 2)`: λ, 1 for those that are as they were, and how far away the other one is.
    """
    count, size = len(pictures), pictures.shape[-1]
    rows = torch.arange(count)
    offsets = count - 1 - 2 * rows
    weights, mixed = torch.ones(count), pictures.clone()
    chosen = (torch.rand(count) < ratio) & (offsets != 0)
    for row in chosen.nonzero()[:, 0].tolist():
        share = float(torch.distributions.Beta(2.0, 2.0).sample())
        other = pictures[row + int(offsets[row])]
        if torch.rand(()) < 0.5:
            mixed[row] = share * pictures[row] + (1 - share) * other
        else:
            side, (top, left) = int(size * math.sqrt(1 - share)), torch.randint(size, (2,)).tolist()
            high, wide = (slice(max(0, at - side // 2), min(size, at + side // 2)) for at in (top, left))
            mixed[row, :, high, wide] = other[:, high, wide]
            share = 1 - (high.stop - high.start) * (wide.stop - wide.start) / size**2
        weights[row] = share
    return mixed, torch.stack([weights, offsets.float()], dim=1).to(pictures.device)
