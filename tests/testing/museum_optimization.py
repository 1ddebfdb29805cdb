"""Broken optimisers and schedules."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from museum import put_on_show

from vsezoo.testing.subject import UNREGISTERED, Subject


class Descent(torch.optim.Optimizer):
    """Plain gradient descent: nothing is wrong."""

    def __init__(self, groups: list[dict[str, Any]], learning_rate: float) -> None:
        super().__init__(groups, {"lr": learning_rate})
        self.steps = 0

    def rate(self, group: dict[str, Any]) -> float:
        return float(group["lr"])

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=self.rate(group))


class Stubborn(Descent):
    """Has a rate of its own."""

    def rate(self, group: dict[str, Any]) -> float:
        return 0.01


class Counting(Descent):
    """Counts its steps outside its state."""

    def rate(self, group: dict[str, Any]) -> float:
        return float(group["lr"]) / self.steps


def show_optimizer(make: Callable[..., Any], *fails: str) -> None:
    put_on_show(make.__name__, Subject("optimizers", UNREGISTERED, make), *fails)


def show_schedule(rate: Callable[..., Any], *fails: str) -> None:
    put_on_show(rate.__name__, Subject("schedules", UNREGISTERED, rate), *fails)


def sound(groups: list[dict[str, Any]], learning_rate: float) -> Descent:
    return Descent(groups, learning_rate)


def without_scales(groups: list[dict[str, Any]], learning_rate: float) -> Descent:
    return Descent([{**group, "scale": 1.0} for group in groups], learning_rate)


def stubborn(groups: list[dict[str, Any]], learning_rate: float) -> Descent:
    return Stubborn(groups, learning_rate)


def counting(groups: list[dict[str, Any]], learning_rate: float) -> Descent:
    return Counting(groups, learning_rate)


def starred(groups: list[dict[str, Any]], learning_rate: float, *rest: float) -> Descent:
    return Descent(groups, learning_rate)


def halved(epoch: int) -> float:
    return 0.5**epoch


def negative(step: int) -> float:
    return 1.0 - step


CALLS = itertools.count()


def remembers(step: int) -> float:
    return 1.0 / (1 + next(CALLS))


show_optimizer(sound)
show_optimizer(without_scales, "groups")
show_optimizer(stubborn, "rate")
show_optimizer(counting, "state")
show_optimizer(starred, "options")
show_schedule(halved)
show_schedule(negative, "range")
show_schedule(remembers, "pure")
