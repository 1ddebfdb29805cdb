"""The optimiser's step: weight decay, the limit of the gradient, Adam, and the Adam of the Theano codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vsezoo.recipe import Training


def build_optimizer(settings: Training, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name."""
    if settings.optimizer == "theano_adam":
        return TheanoAdam(parameters, settings.learning_rate)
    return torch.optim.Adam(parameters, settings.learning_rate, fused=True)


def prepare_gradients(settings: Training, parameters: Mapping[str, nn.Parameter]) -> Tensor:
    """Add the gradient of the weight decay, then limit the gradients.

    Args:
        settings: `weight_decay` w adds the gradient `2 w θ` of `w · Σ θ²`; `grad_clip` limits the L2 norm of all
            gradients together, or of each with `clip_per_tensor`.
        parameters: by name; one-dimensional ones are the biases (and the scales of normalisations).

    Returns:
        the L2 norm of all gradients before the limit.
    """
    given = {name: parameter for name, parameter in parameters.items() if parameter.grad is not None}
    if settings.weight_decay:
        for parameter in given.values():
            if settings.decay_biases or parameter.dim() > 1:
                assert parameter.grad is not None
                parameter.grad.add_(parameter.detach(), alpha=2 * settings.weight_decay)
    limit = settings.grad_clip or math.inf
    if not settings.clip_per_tensor:
        norm: Tensor = nn.utils.clip_grad_norm_(given.values(), limit)
        return norm
    norms = [nn.utils.clip_grad_norm_(parameter, limit) for parameter in given.values()]
    return torch.linalg.vector_norm(torch.stack(norms))


class TheanoAdam(torch.optim.Optimizer):
    """Adam as the Theano codes of Kiros et al. (2014) and of order-embeddings have it.

    The moments decay by 0.9 and 0.999, but the corrections of their bias take 0.1 and 0.001 for these rates, so that
    there is hardly any correction:

        m ← 0.9 m + 0.1 g,  v ← 0.999 v + 0.001 g²,  θ ← θ - lr · √(1 - 0.001ᵗ) / (1 - 0.1ᵗ) · m / (√v + 1e-8)

    Under a constant gradient the first step is 3.5 times the learning rate, the tenth 6.5 times, the hundredth
    3.2 times, the thousandth 1.3 times.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

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
