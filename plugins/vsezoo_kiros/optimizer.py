"""Adam as the Theano codes of Kiros et al. (2014) and of order-embeddings implement it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import ParamsT


class TheanoAdam(torch.optim.Optimizer):
    """Adam as the Theano codes of Kiros et al. (2014) and of order-embeddings have it.

    The moments decay by 0.9 and 0.999, but the corrections of their bias take 0.1 and 0.001 for these rates, so that
    there is hardly any correction:

        m ← 0.9 m + 0.1 g,  v ← 0.999 v + 0.001 g²,  θ ← θ - lr · √(1 - 0.001ᵗ) / (1 - 0.1ᵗ) · m / (√v + 1e-8)

    Under a constant gradient the first step is 3.5 times the learning rate, the tenth 6.5 times, the hundredth
    3.2 times, the thousandth 1.3 times.
    """

    def __init__(self, groups: ParamsT, learning_rate: float) -> None:
        super().__init__(groups, {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group["lr"], self.state[parameter])

    def _move(self, parameter: nn.Parameter, lr: float, state: dict[str, Any]) -> None:
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        time, gradient = float(state["step"]), parameter.grad
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(gradient, 0.1)
        square.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        rate = lr * math.sqrt(1 - 0.001**time) / (1 - 0.1**time)
        parameter.addcdiv_(mean, square.sqrt().add_(1e-8), value=-rate)
