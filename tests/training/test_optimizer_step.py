"""The optimiser's step: weight decay, and the two limits of the gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from vsezoo.recipe import Training
from vsezoo.training.optimizer_step import prepare_gradients


def make_parameters() -> dict[str, nn.Parameter]:
    parameters = {"weight": nn.Parameter(torch.tensor([[1.0, -2.0]])), "bias": nn.Parameter(torch.tensor([3.0]))}
    parameters["weight"].grad, parameters["bias"].grad = torch.tensor([[3.0, 0.0]]), torch.tensor([4.0])
    return parameters | {"unused": nn.Parameter(torch.ones(2))}


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
