"""The optimiser step: learning rate, weight decay, gradient clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from vsezoo.construction import call_part
from vsezoo.errors import PluginError
from vsezoo.parts import load_part
from vsezoo.recipe import Recipe, TrainingSettings
from vsezoo.recipe.signatures import read_parameters
from vsezoo.registry.owners import describe, point_to_checks


def group_parameters(parameters: Mapping[str, nn.Parameter], scales: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the groups of an optimiser: one per learning rate, which is `scale` times that of the schedule.

    Args:
        parameters: parameters by name, in the order of the groups.
        scales: scales by name prefix, see `Encoder.learning_rate_scales`.
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        start = max((start for start in scales if name.startswith(start)), key=len, default=None)
        groups.setdefault(1.0 if start is None else scales[start], []).append(parameter)
    return [{"params": members, "scale": scale} for scale, members in groups.items()]


def build_optimizer(recipe: Recipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """Return the optimiser of a resolved recipe for groups from `group_parameters`.

    Raises:
        UnknownNameError: for an optimiser that is not registered.
        RecipeError: for invalid options.
        PluginError: for one that is not an optimiser of torch.
    """
    at_hand = {"groups": groups, "learning_rate": recipe.training.learning_rate}
    optimizer = call_part(recipe, "optimizer", at_hand)
    if not isinstance(optimizer, torch.optim.Optimizer):
        _refuse(
            load_part(recipe, "optimizer"),
            recipe.optimizer.name,
            optimizer,
            "an optimiser",
            "torch.optim.AdamW(groups)",
        )
    return optimizer


def build_schedule(recipe: Recipe, steps_per_epoch: int) -> Callable[[int, int], float]:
    """Return the schedule of a resolved recipe: the learning rate as a function of completed steps and epochs.

    Raises:
        UnknownNameError: for a schedule that is not registered.
        PluginError: raised by the function, for a schedule that returns no number.
    """
    function, options = load_part(recipe, "schedule"), recipe.schedule.options
    named = read_parameters(function)

    def schedule(step: int, epoch: int) -> float:
        at_hand = {
            "step": step,
            "epoch": epoch,
            "steps_per_epoch": steps_per_epoch,
            "num_epochs": recipe.training.num_epochs,
        }
        multiple = function(**{name: at_hand[name] for name in named if name in at_hand}, **options)
        if not hasattr(multiple, "__float__"):
            _refuse(function, recipe.schedule.name, multiple, "a number", "a multiple of the learning rate")
        rate: float = recipe.training.learning_rate * multiple
        return rate

    return schedule


def _refuse(part: Any, name: str, returned: object, wanted: str, example: str) -> NoReturn:
    given = "None" if returned is None else f"a {type(returned).__name__}"
    raise PluginError(
        f"The {describe(part, name)} returned {given} instead of {wanted}.",
        remedy=f"Return {example}. {point_to_checks(part)}".rstrip(),
    )


def prepare_gradients(settings: TrainingSettings, parameters: Mapping[str, nn.Parameter]) -> Tensor:
    """Add the gradient of the weight decay, then clip the gradients.

    Args:
        settings: `weight_decay` w adds the gradient `2 w θ` of `w · Σ θ²`; `grad_clip` limits the L2 norm of all
            gradients together, or of each with `clip_per_tensor`.
        parameters: parameters by name; one-dimensional ones are biases (and scales of normalisations).

    Returns:
        the L2 norm of all gradients before clipping.
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
