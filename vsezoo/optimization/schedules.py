"""Schedules: functions that say by what the learning rate is multiplied at a step.

The author of one writes a function like those below, with options as keyword parameters, and registers it in the
group `vsezoo.schedules`. It is called before each step, with what it names of:

    step               steps done before, over all epochs
    epoch              epochs done before
    steps_per_epoch    steps in an epoch
    num_epochs         epochs of the training run

It must be a function of these alone, so that a run that is resumed goes on with the same rates, finite, and not
negative. `vsezoo.testing.check_schedule` checks this.
"""

from __future__ import annotations

import math
from typing import Annotated

from vsezoo.recipe.options import Above, AtLeast, AtMost, Between


def step(
    epoch: int, *, every: Annotated[int, AtLeast(1)] = 15, factor: Annotated[float, Above(0), AtMost(1)] = 0.1
) -> float:
    """Return the multiple of a rate that drops in steps, as in VSE++.

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
    """Return the multiple of a rate that stays as it is after a linear warm-up.

    Args:
        step: steps done.
        steps_per_epoch: steps in an epoch.
        warmup: steps in which the rate rises.
        warmup_epochs: the same in epochs; of the two the longer one counts.
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
    """Return the multiple of a rate that falls along half a cosine after a linear warm-up (Loshchilov and Hutter 2017).

    Args:
        step: steps done.
        steps_per_epoch: steps in an epoch.
        num_epochs: epochs of the training run.
        warmup: steps in which the rate rises.
        warmup_epochs: the same in epochs; of the two the longer one counts.
        final: multiple at the end of the training run.
    """
    rising = _count_rising(steps_per_epoch, warmup, warmup_epochs)
    if step < rising:
        return (step + 1) / (rising + 1)
    falling = steps_per_epoch * num_epochs - rising
    done = min(1.0, (step - rising) / falling) if falling > 0 else 1.0
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


def _count_rising(steps_per_epoch: int, warmup: int, warmup_epochs: float) -> int:
    return max(warmup, round(warmup_epochs * steps_per_epoch))
