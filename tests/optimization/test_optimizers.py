"""Optimisers: the update of AdamW by hand, and which parameters it decays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vsezoo import testing
from vsezoo.errors import RecipeError
from vsezoo.optimization.optimizers import adam, adamw
from vsezoo.recipe import Part, Recipe, TrainingSettings
from vsezoo.training.optimizer_step import build_optimizer, build_schedule


def make_recipe(**training: Any) -> Recipe:
    settings = TrainingSettings(**training)
    return Recipe("m", "A model.", Part("a"), Part("b"), Part("c"), Part("d"), training=settings)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("optimizers", "adam"),
        ("optimizers", "adamw"),
        ("optimizers", "adamp"),
        ("schedules", "step"),
        ("schedules", "cosine"),
        ("schedules", "constant"),
    ],
)
def test_the_built_in_ones_keep_what_the_loop_relies_on(kind: str, name: str) -> None:
    testing.check(kind, name)


def test_adamw_is_its_formula() -> None:
    """Loshchilov and Hutter 2019, algorithm 2: the decay does not go through the moments."""
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(2, 3)), random.normal(size=(5, 2, 3))
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = adamw([{"params": [parameter], "scale": 1.0}], 0.01, betas=(0.8, 0.9), eps=1e-6, weight_decay=0.1)
    mean, square, expected = np.zeros_like(start), np.zeros_like(start), start
    for time, gradient in enumerate(gradients, start=1):
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        mean, square = 0.8 * mean + 0.2 * gradient, 0.9 * square + 0.1 * gradient**2
        direction = (mean / (1 - 0.8**time)) / (np.sqrt(square / (1 - 0.9**time)) + 1e-6)
        expected = expected - 0.01 * 0.1 * expected - 0.01 * direction
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize(("options", "biases"), [({}, 0.0), ({"decay_biases": True}, 0.01)])
def test_adamw_leaves_biases_and_norms_alone_unless_told(options: dict[str, Any], biases: float) -> None:
    norm, linear = nn.LayerNorm(3), nn.Linear(3, 2)
    groups = [{"params": list(norm.parameters()), "scale": 0.5}, {"params": list(linear.parameters()), "scale": 1.0}]
    optimizer = adamw(groups, 0.1, **options)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    scale = {id(p): group["scale"] for group in optimizer.param_groups for p in group["params"]}
    assert decay[id(linear.weight)] == 0.01
    assert [decay[id(parameter)] for parameter in (linear.bias, norm.weight, norm.bias)] == [biases] * 3
    assert [scale[id(parameter)] for parameter in (linear.weight, linear.bias, norm.weight)] == [1.0, 1.0, 0.5]


def test_adam_is_that_of_torch() -> None:
    optimizer = adam([{"params": [nn.Parameter(torch.zeros(1))], "scale": 1.0}], 0.1, betas=[0.5, 0.6])
    assert type(optimizer) is torch.optim.Adam
    assert optimizer.param_groups[0]["betas"] == (0.5, 0.6)


def test_the_optimizer_is_that_of_the_recipe() -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "scale": 1.0}]
    assert type(build_optimizer(make_recipe(optimizer="theano_adam"), groups)).__name__ == "TheanoAdam"
    assert type(build_optimizer(make_recipe(), groups)) is torch.optim.Adam
    built = build_optimizer(make_recipe(optimizer=Part("adamw", {"weight_decay": 0.5}), learning_rate=0.3), groups)
    assert built.defaults["weight_decay"] == 0.5
    assert built.defaults["lr"] == 0.3
    with pytest.raises(RecipeError, match=r"optimizer 'adamw' cannot be built: .*no_such_option"):
        build_optimizer(make_recipe(optimizer=Part("adamw", {"no_such_option": 0})), groups)


def test_the_rate_is_the_schedules_multiple_of_the_learning_rate() -> None:
    rate = build_schedule(make_recipe(learning_rate=0.5, schedule=Part("cosine", {"warmup": 1}), num_epochs=2), 3)
    assert rate(0, 0) == 0.25
    assert rate(1, 0) == 0.5
    assert rate(5, 1) == pytest.approx(0.25 * (1 + math.cos(math.pi * 0.8)))
    rate = build_schedule(make_recipe(learning_rate=0.5, lr_update=2), 3)
    assert [rate(3 * epoch, epoch) for epoch in range(3)] == [0.5, 0.5, 0.5 * 0.1]


def sgd(groups: list[dict[str, Any]], learning_rate: float, *, momentum: float = 0.9) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, learning_rate, momentum=momentum)


def test_a_function_of_ones_own_is_checked() -> None:
    testing.check_optimizer(sgd)
    testing.check("optimizers", sgd, options={"momentum": 0.5})


def drop_scale(groups: list[dict[str, Any]], learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([parameter for group in groups for parameter in group["params"]], learning_rate)


class CountingSGD(torch.optim.SGD):
    """Its steps hang on a number that no state holds."""

    count = 0

    def __init__(self, groups: list[dict[str, Any]], learning_rate: float) -> None:
        super().__init__(groups, learning_rate)

    def step(self, closure: Any = None) -> None:
        self.count += 1
        for group in self.param_groups:
            group["lr"] /= self.count
        super().step(closure)


class FixedRateSGD(torch.optim.SGD):
    """It does not look at the rate that the loop sets."""

    def __init__(self, groups: list[dict[str, Any]], learning_rate: float) -> None:
        super().__init__(groups, learning_rate)
        self.rate = learning_rate

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            group["lr"] = self.rate
        super().step(closure)


def any_options(groups: list[dict[str, Any]], learning_rate: float, **options: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, learning_rate)


@pytest.mark.parametrize(
    ("broken", "check"),
    [(drop_scale, "groups"), (CountingSGD, "state"), (FixedRateSGD, "rate"), (any_options, "options")],
)
def test_a_broken_optimizer_fails_its_check(broken: Any, check: str) -> None:
    failed = []
    for made in testing.list_checks("optimizers", broken):
        try:
            made()
        except testing.ConformanceError as error:
            failed += [failure.check for failure in error.failures]
    assert check in failed


def negative(step: int) -> float:
    return 1 - step


def remember(step: int, seen: Any = []) -> float:  # noqa: B006
    seen.append(step)
    return 1 / len(seen)


def endless(epoch: int) -> float:
    return 1 / epoch if epoch else math.inf


@pytest.mark.parametrize(("broken", "check"), [(negative, "range"), (remember, "pure"), (endless, "range")])
def test_a_broken_schedule_fails_its_check(broken: Any, check: str) -> None:
    with pytest.raises(testing.ConformanceError) as caught:
        testing.check_schedule(broken)
    assert check in {failure.check for failure in caught.value.failures}
