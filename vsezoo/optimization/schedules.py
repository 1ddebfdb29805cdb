"""Schedules: functions that return the factor of the learning rate at a step.

To add one, write a function like those below, with options as keyword parameters, and register it in the group
`vsezoo.schedules`. It is called before each step with those of these arguments that it names:

    step               steps done before, over all epochs
    epoch              epochs done before
    steps_per_epoch    steps in an epoch
    num_epochs         epochs of the training run

The result must depend on these arguments only, so that a resumed run has the same learning rates, and must be finite
and not negative. `vsezoo.testing.check_schedule` checks this.
"""

from __future__ import annotations

import math
from typing import Annotated

from vsezoo.recipe.options import Above, AtLeast, AtMost, Between


def step(
    epoch: int, *, every: Annotated[int, AtLeast(1)] = 15, factor: Annotated[float, Above(0), AtMost(1)] = 0.1
) -> float:
    """Return the factor of a learning rate that drops in steps, as in VSE++.

    Args:
        epoch: epochs done.
        every: epochs between two drops.
        factor: factor of each drop.
    """
    return float(factor ** (epoch // every))


def constant(
    step: int,
    steps_per_epoch: int,
    *,
    warmup: Annotated[int, AtLeast(0)] = 0,
    warmup_epochs: Annotated[float, AtLeast(0)] = 0.0,
) -> float:
    """Return the factor of a learning rate that is constant after a linear warm-up.

    Args:
        step: steps done.
        steps_per_epoch: steps in an epoch.
        warmup: steps in which the learning rate rises.
        warmup_epochs: the same in epochs; the longer of the two applies.
    """
    rising = _count_rising(steps_per_epoch, warmup, warmup_epochs)
    return (step + 1) / (rising + 1) if step < rising else 1.0


def cosine(
    step: int,
    steps_per_epoch: int,
    num_epochs: int,
    *,
    warmup: Annotated[int, AtLeast(0)] = 0,
    warmup_epochs: Annotated[float, AtLeast(0)] = 0.0,
    final: Annotated[float, Between(0, 1)] = 0.0,
) -> float:
    """Return the factor of a rate that follows half a cosine after a linear warm-up (Loshchilov and Hutter 2017).

    Args:
        step: steps done.
        steps_per_epoch: steps in an epoch.
        num_epochs: epochs of the training run.
        warmup: steps in which the learning rate rises.
        warmup_epochs: the same in epochs; the longer of the two applies.
        final: factor at the end of the training run.
    """
    rising = _count_rising(steps_per_epoch, warmup, warmup_epochs)
    if step < rising:
        return (step + 1) / (rising + 1)
    falling = steps_per_epoch * num_epochs - rising
    done = min(1.0, (step - rising) / falling) if falling > 0 else 1.0
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def _count_rising(steps_per_epoch: int, warmup: int, warmup_epochs: float) -> int:
    return max(warmup, round(warmup_epochs * steps_per_epoch))
