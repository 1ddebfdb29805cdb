"""The optimiser's step: Theano's Adam by hand, weight decay, and the two limits of the gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from vsezoo.recipe import Training
from vsezoo.training.optimizer import TheanoAdam, build_optimizer, prepare_gradients


def make_parameters() -> dict[str, nn.Parameter]:
    parameters = {"weight": nn.Parameter(torch.tensor([[1.0, -2.0]])), "bias": nn.Parameter(torch.tensor([3.0]))}
    parameters["weight"].grad, parameters["bias"].grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])
    return parameters | {"unused": nn.Parameter(torch.ones(2))}


@pytest.mark.parametrize(("step", "times"), [(1, 3.5), (10, 6.5), (20, 6.2), (100, 3.2), (1000, 1.3)])
def test_theano_adam_under_a_constant_gradient(step: int, times: float) -> None:
    """The steps that were worked out for it, in multiples of the learning rate."""
    parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = TheanoAdam([parameter], lr=1.0)
    for _ in range(step):
        before = parameter.item()
        parameter.grad = torch.full((1,), 0.7, dtype=torch.float64)
        optimizer.step()
    assert before - parameter.item() == pytest.approx(times, abs=0.06)


def test_theano_adam_is_its_formula() -> None:
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=5), random.normal(size=(7, 5))
    parameter = nn.Parameter(torch.from_numpy(start.copy()))
    optimizer = TheanoAdam([parameter], lr=0.01)
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


def test_the_optimizer_is_that_of_the_settings() -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    assert isinstance(build_optimizer(Training(optimizer="theano_adam"), parameters), TheanoAdam)
    assert type(build_optimizer(Training(), parameters)) is torch.optim.Adam


def test_weight_decay_is_the_gradient_of_the_sum_of_squares() -> None:
    parameters = make_parameters()
    assert prepare_gradients(Training(weight_decay=0.5, grad_clip=0), parameters) == pytest.approx(
        math.sqrt(16 + 4 + 49)
    )
    assert parameters["weight"].grad.tolist() == [[4.0, -2.0]]
    assert parameters["bias"].grad.tolist() == [7.0]
    assert parameters["unused"].grad is None


def test_weight_decay_may_leave_the_biases_out() -> None:
    parameters = make_parameters()
    prepare_gradients(Training(weight_decay=0.5, decay_biases=False, grad_clip=0), parameters)
    assert parameters["weight"].grad.tolist() == [[4.0, -2.0]]
    assert parameters["bias"].grad.tolist() == [4.0]


def test_the_limit_of_all_gradients_and_of_each() -> None:
    together, each = make_parameters(), make_parameters()
    assert prepare_gradients(Training(grad_clip=2.0), together) == pytest.approx(5.0)
    assert together["weight"].grad.tolist() == [[pytest.approx(1.2), 0.0]]  # 2 / 5 of it
    assert together["bias"].grad.tolist() == [pytest.approx(1.6)]
    assert prepare_gradients(Training(grad_clip=2.0, clip_per_tensor=True), each) == pytest.approx(5.0)
    assert each["weight"].grad.tolist() == [[pytest.approx(2.0), 0.0]]  # 2 / 3 of it
    assert each["bias"].grad.tolist() == [pytest.approx(2.0)]


def test_decay_comes_before_the_limit() -> None:
    parameters = make_parameters()
    prepare_gradients(Training(weight_decay=0.5, grad_clip=1.0), parameters)
    norm = math.sqrt(16 + 4 + 49)
    assert parameters["bias"].grad.item() == pytest.approx(7 / norm)
