"""Checks of optimisers and schedules."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vsezoo.construction import call_part
from vsezoo.parts import GIVEN, check_options, list_options
from vsezoo.recipe import Part, Recipe, TrainingSettings
from vsezoo.recipe.signatures import read_parameters
from vsezoo.testing.kit import Kit, promise, require, require_equal
from vsezoo.training.optimizer_step import build_schedule

RATE = 0.01
STEPS = 4


@dataclass
class FunctionKit(Kit):
    """The checks of every registered function with options.

    Attributes:
        options: as a recipe gives them; the rest have their defaults.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    part = ""

    @property
    def recipe(self) -> Recipe:
        """A recipe that has it, with the options as read from a checkpoint."""
        given = GIVEN[self.part]
        part = Part(self.subject.name, self.options)
        known = list_options(self.subject.thing, given=given)
        defaults = {name: option.default for name, option in known.items()}
        chosen = Part(part.name, json.loads(json.dumps({**defaults, **check_options(self.part, part, known)})))
        parts: dict[str, Any] = {self.part: chosen}
        training = TrainingSettings(learning_rate=RATE, num_epochs=3, **parts)
        return Recipe("conformance", "A recipe.", Part("a"), Part("b"), Part("c"), Part("d"), training=training)

    @promise(
        "options",
        "Name the arguments of vsezoo as documented, and give every other parameter a default that is a string, "
        "number, boolean, list, object or null; take neither *args nor **kwargs.",
    )
    def check_options(self) -> None:
        """Its parameters are those that vsezoo passes, and options with defaults that JSON can store."""
        given = GIVEN[self.part]
        for name, parameter in read_parameters(self.subject.thing).items():
            starred = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            require(not starred, f"it takes **kwargs or *args ({name})")
            known = name in given or parameter.default is not parameter.empty
            require(known, f"the parameter {name!r} has no default, and vsezoo passes {', '.join(given)}")
        for name, option in list_options(self.subject.thing, given=given).items():
            try:
                kept = json.loads(json.dumps(option.default))
            except (TypeError, ValueError) as error:
                require(False, f"the default of {name!r}, {option.default!r}, cannot be stored as JSON: {error}")
            require(kept == option.default, f"the default of {name!r}, {option.default!r}, becomes {kept!r}")


@dataclass
class OptimizerKit(FunctionKit):
    """The checks of optimisers."""

    part = "optimizer"

    def build(self) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        """Return parameters of several shapes in two groups, and their optimiser."""
        generator = torch.Generator().manual_seed(0)
        shapes = ((3, 2), (3,), (2, 2), (4,))
        parameters = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
        groups = [{"params": parameters[:2], "scale": 1.0}, {"params": parameters[2:], "scale": 0.5}]
        optimizer = call_part(self.recipe, "optimizer", {"groups": groups, "learning_rate": RATE})
        fits = isinstance(optimizer, torch.optim.Optimizer)
        require(fits, f"{type(optimizer).__name__}, which is not a torch.optim.Optimizer")
        return parameters, optimizer

    def train(self, parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, steps: int) -> None:
        """Take steps towards zero; the last parameter has a gradient at every other step only."""
        for number in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = RATE * group["scale"]
            for parameter in parameters:
                parameter.grad = parameter.detach().clone()
            if number % 2:
                parameters[-1].grad = None
            optimizer.step()

    @promise(
        "groups",
        "Pass the groups on; if you make new ones, copy each, {**group, 'params': …}, so that they keep its scale.",
    )
    def check_groups(self) -> None:
        """It has each parameter once, in a group with the parameter's scale."""
        parameters, optimizer = self.build()
        held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        require(
            sorted(map(id, held)) == sorted(map(id, parameters)),
            f"{len(held)} parameters in its groups, {len(parameters)} given",
        )
        for group in optimizer.param_groups:
            scale = 1.0 if any(group["params"][0] is parameter for parameter in parameters[:2]) else 0.5
            require(group.get("scale") == scale, f"a group with the scale {group.get('scale')}, not {scale}")

    @promise(
        "rate",
        "Read the learning rate from group['lr'] in step(): the training loop sets it before each step.",
    )
    def check_rate(self) -> None:
        """At a learning rate of 0 no parameter changes; at another one they move towards a minimum."""
        parameters, optimizer = self.build()
        before = [parameter.detach().clone() for parameter in parameters]
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        for parameter in parameters:
            parameter.grad = parameter.detach().clone()
        optimizer.step()
        for parameter, start in zip(parameters, before, strict=True):
            require_equal(parameter, start, "a parameter after a step at learning rate 0", 0)
        self.train(parameters, optimizer, 10 * STEPS)
        norms = [sum(float(p.detach().square().sum()) for p in group) for group in (before, parameters)]
        require(norms[1] < norms[0], f"a sum of squares of {norms[1]:.4g} after the steps, {norms[0]:.4g} before")

    @promise(
        "state",
        "Keep what the next step needs in self.state[parameter], as tensors; groups hold constants only.",
    )
    def check_state(self) -> None:
        """Its state is tensors for each parameter, and a new one that loads them continues with the same steps."""
        parameters, optimizer = self.build()
        self.train(parameters, optimizer, STEPS)
        slots: dict[int, dict[str, Tensor]] = {}
        for index, values in optimizer.state_dict()["state"].items():
            for name, value in values.items():
                require(
                    isinstance(value, Tensor), f"the state {name!r} is of type {type(value).__name__}, not a tensor"
                )
            slots[index] = {name: value.clone() for name, value in values.items()}
        others, resumed = self.build()
        with torch.no_grad():
            for other, parameter in zip(others, parameters, strict=True):
                other.copy_(parameter)
        resumed.load_state_dict({"state": slots, "param_groups": resumed.state_dict()["param_groups"]})
        self.train(parameters, optimizer, STEPS)
        self.train(others, resumed, STEPS)
        for other, parameter in zip(others, parameters, strict=True):
            require_equal(other, parameter, "a parameter after storing and loading the state", 0)


@dataclass
class ScheduleKit(FunctionKit):
    """The checks of schedules."""

    part = "schedule"

    def build(self, steps_per_epoch: int, num_epochs: int) -> Callable[[int, int], float]:
        """Return the learning rate by step and epoch."""
        return build_schedule(self.recipe.replace({"training.num_epochs": num_epochs}), steps_per_epoch)

    @promise(
        "range",
        "Look at the first and the last step, and at training runs of one step.",
    )
    def check_range(self) -> None:
        """It returns finite numbers that are not negative, for runs of any length, and not 0 throughout."""
        for steps_per_epoch, num_epochs in itertools.product((1, 7), (1, 4)):
            rate = self.build(steps_per_epoch, num_epochs)
            total = steps_per_epoch * num_epochs
            rates = [rate(step, step // steps_per_epoch) for step in range(total)]
            for step, value in enumerate(rates):
                sound = isinstance(value, int | float) and 0 <= value < math.inf
                require(sound, f"the factor {value!r} at step {step} of {total}")
            require(any(rates), f"0 at all {total} steps")

    @promise(
        "pure",
        "Compute from step, epoch, steps_per_epoch and num_epochs only, without random numbers or state.",
    )
    def check_pure(self) -> None:
        """It returns the same for the same step, in any order, so that a resumed run has the same learning rates."""
        rate = self.build(5, 4)
        forwards = [rate(step, step // 5) for step in range(20)]
        backwards = [rate(step, step // 5) for step in reversed(range(20))]
        require(forwards == backwards[::-1], "other values if the steps come in another order")
        require(forwards == [self.build(5, 4)(step, step // 5) for step in range(20)], "other values at a second call")
