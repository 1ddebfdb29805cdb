"""Optimisers: functions from groups of parameters to an optimiser of torch.

To add one, write a function like those below, with options as keyword parameters, and register it in the group
`vsezoo.optimizers`. vsezoo passes these arguments if it names them:

    groups           list of groups as torch takes them: `params`, and `scale`, the factor of the learning rate that
                     the encoders set; a function that makes new groups copies `scale` into each
    learning_rate    the initial one; the training loop sets `lr` of each group before each step

The state of the optimiser must be tensors by parameter, as with torch's own: it is stored and restored exactly.
`vsezoo.testing.check_optimizer` checks all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import torch

from vsezoo.recipe.options import Above, AtLeast, Below, Each

Groups = list[dict[str, Any]]
Betas = Annotated[Sequence[float], Each(AtLeast(0), Below(1), length=2)]


def adam(
    groups: Groups, learning_rate: float, *, betas: Betas = (0.9, 0.999), eps: Annotated[float, Above(0)] = 1e-8
) -> torch.optim.Optimizer:
    """Return Adam (Kingma and Ba 2015).

    Args:
        groups: groups of parameters.
        learning_rate: the initial one.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
    """
    return torch.optim.Adam(groups, learning_rate, betas=tuple(betas), eps=eps, fused=True)  # type: ignore[arg-type]


def adamw(
    groups: Groups,
    learning_rate: float,
    *,
    betas: Betas = (0.9, 0.999),
    eps: Annotated[float, Above(0)] = 1e-8,
    weight_decay: Annotated[float, AtLeast(0)] = 0.01,
    decay_biases: bool = False,
) -> torch.optim.Optimizer:
    """Return Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    Args:
        groups: groups of parameters.
        learning_rate: the initial one.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: share of each weight, times the learning rate, that is subtracted in a step.
        decay_biases: decay one-dimensional parameters too, which are biases and the scales of normalisations.
    """
    parts: Groups = []
    for group in groups:
        kept = [parameter for parameter in group["params"] if parameter.dim() < 2 and not decay_biases]
        decayed = [parameter for parameter in group["params"] if parameter.dim() >= 2 or decay_biases]
        parts += [{**group, "params": decayed}] if decayed else []
        parts += [{**group, "params": kept, "weight_decay": 0.0}] if kept else []
    return torch.optim.AdamW(
        parts,
        learning_rate,
        betas=tuple(betas),  # type: ignore[arg-type]
        eps=eps,
        weight_decay=weight_decay,
        fused=True,
    )
