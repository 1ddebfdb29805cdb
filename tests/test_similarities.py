"""The cosine and the order similarity: values, gradients, blocks, memory."""

from __future__ import annotations

from pathlib import Path

import processes
import pytest
import torch
from torch import Tensor

from vsezoo import similarities
from vsezoo.similarities import CosineSimilarity, OrderSimilarity

IMAGES = ((0.6, 0.8), (1.0, 0.0))
TEXTS = ((0.6, 0.8), (0.0, 1.0))


def score_naively(images: Tensor, texts: Tensor, squared: bool) -> Tensor:
    penalties = (texts[None] - images[:, None]).clamp(min=0).square().sum(dim=-1)
    return -penalties if squared else -penalties.sqrt()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def score_and_differentiate(similarity: OrderSimilarity, images: Tensor, texts: Tensor) -> tuple[Tensor, ...]:
    images, texts = images.clone().requires_grad_(), texts.clone().requires_grad_()
    scores = similarity(images, texts)
    (scores * draw(*scores.shape, seed=9).to(scores)).sum().backward()
    assert images.grad is not None
    assert texts.grad is not None
    return scores.detach(), images.grad, texts.grad


@pytest.mark.parametrize(("squared", "expected"), [(False, [[0, -0.2], [-0.8, -1]]), (True, [[0, -0.04], [-0.64, -1]])])
def test_order_values_worked_by_hand(squared: bool, expected: list[list[float]]) -> None:
    scores = OrderSimilarity(squared=squared)(torch.tensor(IMAGES), torch.tensor(TEXTS))
    torch.testing.assert_close(scores, torch.tensor(expected))


def test_cosine_values_worked_by_hand() -> None:
    similarity = CosineSimilarity()
    torch.testing.assert_close(
        similarity(torch.tensor(IMAGES), torch.tensor(TEXTS)), torch.tensor([[1, 0.8], [0.6, 0]])
    )
    assert similarity(torch.tensor([[2.0, 1.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist() == [[10.0, 1.0]]


@pytest.mark.parametrize("squared", [False, True])
def test_order_gradients_equal_those_of_the_plain_formula(squared: bool) -> None:
    images, texts = draw(4, 6, seed=1), draw(5, 6, seed=2)
    ours = score_and_differentiate(OrderSimilarity(squared=squared), images, texts)
    plain_images, plain_texts = images.clone().requires_grad_(), texts.clone().requires_grad_()
    plain = score_naively(plain_images, plain_texts, squared)
    (plain * draw(4, 5, seed=9)).sum().backward()
    torch.testing.assert_close(ours, (plain.detach(), plain_images.grad, plain_texts.grad))


@pytest.mark.parametrize("squared", [False, True])
def test_order_gradients_equal_finite_differences(squared: bool) -> None:
    inputs = draw(3, 4, seed=1).requires_grad_(), draw(2, 4, seed=2).requires_grad_()
    assert torch.autograd.gradcheck(OrderSimilarity(squared=squared), inputs)


@pytest.mark.parametrize("squared", [False, True])
def test_the_gradient_is_zero_where_nothing_is_violated(squared: bool) -> None:
    """The root alone has an infinite gradient at zero, and NaN after it."""
    images = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    texts = torch.tensor([[1.0, 1.0], [0.5, 0.25]])
    scores, of_images, of_texts = score_and_differentiate(OrderSimilarity(squared=squared), images, texts)
    assert scores[0].tolist() == [0, 0]
    assert of_images[0].tolist() == [0, 0]
    assert of_images[1].abs().min() > 0
    assert of_texts.isfinite().all()
    alike = score_and_differentiate(OrderSimilarity(squared=squared), images, images[:1])
    assert torch.stack([alike[1].isfinite().all(), alike[2].isfinite().all()]).all()


def test_tiny_violations_have_finite_gradients() -> None:
    """Squares of such differences vanish in float32."""
    texts = torch.tensor([[10.0**-power, 0.0] for power in range(10, 46)])
    scores, of_images, of_texts = score_and_differentiate(OrderSimilarity(), torch.zeros(1, 2), texts)
    assert torch.cat([scores.flatten(), of_images.flatten(), of_texts.flatten()]).isfinite().all()
    assert of_texts.abs().max() < 10


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("numbers", [1, 7, 20, 64, 100])
def test_blocks_change_neither_values_nor_gradients(
    monkeypatch: pytest.MonkeyPatch, numbers: int, squared: bool
) -> None:
    images, texts = draw(11, 5, seed=1), draw(13, 5, seed=2)
    whole = score_and_differentiate(OrderSimilarity(squared=squared), images, texts)
    monkeypatch.setitem(similarities.BLOCK_NUMBERS, "cpu", numbers)
    torch.testing.assert_close(score_and_differentiate(OrderSimilarity(squared=squared), images, texts), whole)


@pytest.mark.parametrize(("images", "texts"), [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_empty_and_single(images: int, texts: int) -> None:
    for similarity in (CosineSimilarity(), OrderSimilarity(), OrderSimilarity(squared=True)):
        assert similarity(torch.ones(images, 4), torch.ones(texts, 4)).shape == (images, texts)


def measure_scores(images: int, texts: int, backward: bool) -> None:
    """Print the bytes by which scoring raises the most memory that this process has had."""
    first, second = torch.rand(images, 256, requires_grad=backward), torch.rand(texts, 256)
    OrderSimilarity()(first[:2], second[:2]).sum()
    before = processes.measure_peak()
    scores = OrderSimilarity()(first, second)
    if backward:
        scores.sum().backward()
    print(processes.measure_peak() - before)


@pytest.mark.process
@pytest.mark.parametrize(("images", "texts", "backward"), [(500, 2500, False), (500, 1000, True)])
def test_memory_is_bounded(images: int, texts: int, backward: bool, tmp_path: Path) -> None:
    """All differences at once would take 1.3 GB (0.5 GB in the second case), and as much again for the gradient."""
    done = processes.run(tmp_path, measure_scores, images, texts, backward)
    assert done.code == 0, done.stderr
    assert int(done.stdout) < 400e6
