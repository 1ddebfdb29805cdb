"""The average of the weights over the steps of a run, which is what is validated and kept: `training.average`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

FIRST_STEPS = 10
"""The decay of step t is never above t / (t + FIRST_STEPS): early weights are far from any good ones."""


class WeightAverage(nn.Module):
    """An exponential moving average of parameters: `a ← d a + (1 - d) θ` after each step.

    Its state is that of a module, one tensor for each parameter, so that a resumed run continues it. Values that are
    not trained, such as the statistics of batch normalisation, are not averaged.

    Args:
        parameters: the trained parameters by name.
        decay: d of late steps, from 0 to below 1. About the last 1 / (1 - d) steps count.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        super().__init__()
        self.decay, self._trained = decay, list(parameters.values())
        for name, parameter in parameters.items():
            self.register_buffer(name.replace(".", "/"), parameter.detach().clone())

    @property
    def averages(self) -> list[Tensor]:
        """The averages, in the order of the parameters."""
        return list(self.buffers())

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after a step, counted from 1."""
        decay = min(self.decay, step / (step + FIRST_STEPS))
        torch._foreach_lerp_(self.averages, [parameter.detach() for parameter in self._trained], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the parameters the averaged values, and back their own at the end."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for average, parameter in zip(self.averages, self._trained, strict=True):
            own = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(own)
