"""Adam of the Theano codes, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from vsezoo import testing
from vsezoo_kiros.optimizer import TheanoAdam


@pytest.mark.parametrize(("step", "times"), [(1, 3.5), (10, 6.5), (20, 6.2), (100, 3.2), (1000, 1.3)])
def test_theano_adam_under_a_constant_gradient(step: int, times: float) -> None:
    """The steps that were worked out for it, in multiples of the learning rate."""
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = TheanoAdam([parameter], learning_rate=1.0)
    for _ in range(step):
        before = parameter.item()
        parameter.grad = torch.full((1,), 0.7, dtype=torch.float64)
        optimizer.step()
    assert before - parameter.item() == pytest.approx(times, abs=0.06)


def test_theano_adam_is_its_formula() -> None:
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=5), random.normal(size=(7, 5))
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = TheanoAdam([parameter], learning_rate=0.01)
    mean, square, expected = np.zeros(5), np.zeros(5), start
    b1, b2 = 0.1, 0.001
    for time, gradient in enumerate(gradients, start=1):
        parameter.grad = torch.from_numpy(gradient)
        optimizer.step()
        mean = b1 * gradient + (1 - b1) * mean
        square = b2 * gradient**2 + (1 - b2) * square
        rate = 0.01 * math.sqrt(1 - b2**time) / (1 - b1**time)
        expected = expected - rate * mean / (np.sqrt(square) + 1e-8)
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-12)


def test_it_keeps_what_the_loop_relies_on() -> None:
    testing.check("optimizers", "theano_adam")
