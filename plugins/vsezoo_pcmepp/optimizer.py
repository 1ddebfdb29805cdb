"""AdamP (Heo et al. 2021), the optimiser of PCME++, by timm."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from timm.optim.adamp import AdamP

from vsezoo.optimization.optimizers import Betas, Groups
from vsezoo.recipe.options import Above, AtLeast


def adamp(
    groups: Groups,
    learning_rate: float,
    *,
    betas: Betas = (0.9, 0.999),
    eps: Annotated[float, Above(0)] = 1e-8,
    weight_decay: Annotated[float, AtLeast(0)] = 1e-4,
    delta: Annotated[float, Above(0)] = 0.1,
    wd_ratio: Annotated[float, AtLeast(0)] = 0.1,
) -> torch.optim.Optimizer:
    """Return Adam that does not move weights along themselves where their scale does not matter (Heo et al. 2021).

    Single numbers, such as the scale of a loss, do not decay.

    Args:
        groups: of parameters.
        learning_rate: the initial one.
        betas: decay rates of the two moments.
        eps: added to the root of the second moment.
        weight_decay: share of each weight that is taken away in a step, times the learning rate.
        delta: how small the cosine of weight and gradient must be for the scale not to matter, times the root of the
            number of weights.
        wd_ratio: share of the weight decay for such weights.
    """
    parts: Groups = []
    for group in groups:
        for decays in (True, False):
            members = [parameter for parameter in group["params"] if (parameter.numel() > 1) is decays]
            parts += [{**group, "params": members, "weight_decay": weight_decay * decays}] if members else []
    options: dict[str, Any] = {"betas": tuple(betas), "eps": eps, "delta": delta, "wd_ratio": wd_ratio}
    return TensorStepAdamP(parts, learning_rate, **options)  # type: ignore[no-untyped-call]


class TensorStepAdamP(AdamP):
    """timm's, whose step counts are tensors, as a training state stores them."""

    def step(self, closure: Any = None) -> Any:
        """Make a step."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and not self.state[parameter]:
                    moments = {name: torch.zeros_like(parameter) for name in ("exp_avg", "exp_avg_sq")}
                    self.state[parameter].update(step=torch.tensor(0.0), **moments)
        return super().step(closure)  # type: ignore[no-untyped-call]
