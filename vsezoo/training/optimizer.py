"""The optimiser's step: weight decay, the limit of the gradient, Adam, and the Adam of the Theano codes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from vsezoo.recipe import TrainingSettings


def group_parameters(parameters: Mapping[str, nn.Parameter], scales: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the groups of an optimiser: one for each learning rate, which is `scale` times that of the schedule.

    Args:
        parameters: by name, in the order in which the groups have them.
        scales: by the beginnings of names, as `Encoder.learning_rate_scales` gives them.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        start = max((start for start in scales if name.startswith(start)), key=len, default=None)
        groups.setdefault(1.0 if start is None else scales[start], []).append(parameter)
    return [{"params": members, "scale": scale} for scale, members in groups.items()]


def build_optimizer(settings: TrainingSettings, parameters: ParamsT) -> torch.optim.Optimizer:
    """Return the optimiser that the settings name, of parameters or of groups of them."""
    if settings.optimizer == "theano_adam":
        return TheanoAdam(parameters, settings.learning_rate)
    return torch.optim.Adam(parameters, settings.learning_rate, fused=True)


def prepare_gradients(settings: TrainingSettings, parameters: Mapping[str, nn.Parameter]) -> Tensor:
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
    if settings.clip_per_tensor:
        norms = [nn.utils.clip_grad_norm_(parameter, limit) for parameter in given.values()]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    else:
        norm = nn.utils.clip_grad_norm_(given.values(), limit)
    return norm


class TheanoAdam(torch.optim.Optimizer):
    """Adam as the Theano codes of Kiros et al. (2014) and of order-embeddings have it.

    The moments decay by 0.9 and 0.999, but the corrections of their bias take 0.1 and 0.001 for these rates, so that
    there is hardly any correction:

        m ← 0.9 m + 0.1 g,  v ← 0.999 v + 0.001 g²,  θ ← θ - lr · √(1 - 0.001ᵗ) / (1 - 0.1ᵗ) · m / (√v + 1e-8)

    Under a constant gradient the first step is 3.5 times the learning rate, the tenth 6.5 times, the hundredth
    3.2 times, the thousandth 1.3 times.
    """

    def __init__(self, parameters: ParamsT, lr: float) -> None:
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
