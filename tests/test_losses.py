"""The losses of the scores against hand-worked values and slow references."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import make_batch
from torch import Tensor

from vsezoo.errors import RecipeError
from vsezoo.interfaces import Loss, LossOutput
from vsezoo.losses import HingeLoss, InfoNCELoss, SigmoidLoss

SCORES = ((0.9, 0.5, 0.8), (0.3, 0.6, 0.7), (0.4, 0.65, 0.5))


def apply(loss: Loss, scores: Tensor, image_index: list[int] | None = None) -> LossOutput:
    index = list(range(len(scores))) if image_index is None else image_index
    output: LossOutput = loss(scores, scores, scores, make_batch(index))
    return output


def sum_hinges(scores: np.ndarray, margin: float, hardest: bool, image_index: list[int]) -> tuple[float, float]:
    """Return both directions of the loss, by the words of the paper."""
    directions = []
    for matrix in (scores, scores.T):
        total = 0.0
        for query in range(len(matrix)):
            costs = [
                max(0.0, margin + matrix[query, other] - matrix[query, query])
                for other in range(len(matrix))
                if other != query and image_index[other] != image_index[query]
            ]
            total += max(costs, default=0.0) if hardest else sum(costs)
        directions.append(total)
    return directions[0], directions[1]


@pytest.mark.parametrize(("hardest", "i2t", "t2i"), [(False, 0.85, 1.25), (True, 0.75, 0.75)])
def test_values_worked_by_hand(hardest: bool, i2t: float, t2i: float) -> None:
    output = apply(HingeLoss(max_violation=hardest), torch.tensor(SCORES))
    assert output.total.item() == pytest.approx(2.1 if not hardest else 1.5)
    assert {name: part.item() for name, part in output.parts.items()} == pytest.approx({"i2t": i2t, "t2i": t2i})
    assert not any(part.requires_grad for part in output.parts.values())


@pytest.mark.parametrize(
    ("hardest", "expected"),
    [
        (True, [[-1, 0, 2], [0, -2, 1], [0, 2, -2]]),  # at the hardest of each row and column alone
        (False, [[-1, 1, 2], [0, -3, 2], [1, 2, -4]]),
    ],
)
def test_the_gradient_worked_by_hand(hardest: bool, expected: list[list[int]]) -> None:
    scores = torch.tensor(SCORES, requires_grad=True)
    apply(HingeLoss(max_violation=hardest), scores).total.backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == expected


tenths = st.integers(-10, 10).map(lambda number: number / 10)  # coarse, so that equal scores are frequent


@settings(deadline=None)
@given(
    st.integers(1, 6).flatmap(
        lambda size: st.tuples(
            st.lists(st.lists(tenths, min_size=size, max_size=size), min_size=size, max_size=size),
            st.lists(st.integers(0, 2), min_size=size, max_size=size),
        )
    ),
    st.sampled_from([0.0, 0.05, 0.2]),
    st.booleans(),
    st.booleans(),
)
@pytest.mark.slow
def test_against_the_definition(
    pairs: tuple[list[list[float]], list[int]], margin: float, hardest: bool, mask: bool
) -> None:
    scores, images = np.array(pairs[0]), pairs[1]
    expected = sum_hinges(scores, margin, hardest, images if mask else list(range(len(images))))
    loss = HingeLoss(margin=margin, max_violation=hardest, mask_same_image=mask)
    output = apply(loss, torch.from_numpy(scores), images)
    assert (output.parts["i2t"].item(), output.parts["t2i"].item()) == pytest.approx(expected, abs=1e-12)
    assert output.total.item() == pytest.approx(sum(expected), abs=1e-12)


def test_captions_of_one_image_are_negatives_unless_masked() -> None:
    scores = torch.tensor([[0.5, 0.9], [0.9, 0.5]])
    assert apply(HingeLoss(), scores, [7, 7]).total.item() == pytest.approx(4 * 0.6)
    assert apply(HingeLoss(mask_same_image=True), scores, [7, 7]).total.item() == 0
    assert apply(HingeLoss(mask_same_image=True), scores, [7, 8]).total.item() == pytest.approx(4 * 0.6)


def test_a_warm_up_sums_and_then_takes_the_hardest() -> None:
    loss, scores = HingeLoss(max_violation=True, warmup_epochs=2), torch.tensor(SCORES)
    assert apply(loss, scores).total.item() == pytest.approx(2.1)
    for epoch, expected in [(0, 2.1), (1, 2.1), (2, 1.5), (9, 1.5), (1, 2.1)]:
        loss.start_epoch(epoch)
        assert apply(loss, scores).total.item() == pytest.approx(expected), epoch


@pytest.mark.parametrize("max_violation", [True, False])
def test_without_a_warm_up_an_epoch_changes_nothing(max_violation: bool) -> None:
    loss, scores = HingeLoss(max_violation=max_violation), torch.tensor(SCORES)
    before = apply(loss, scores).total
    loss.start_epoch(0)
    assert apply(loss, scores).total == before


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [2, 64, 128])
def test_equal_scores_give_the_plateau(score: float, size: int) -> None:
    """A collapsed model has a loss of exactly `2 · B · margin`."""
    scores = torch.full((size, size), score)
    assert apply(HingeLoss(margin=0.25, max_violation=True), scores).total.item() == 2 * size * 0.25
    assert apply(HingeLoss(max_violation=True), scores).total.item() == pytest.approx(2 * size * 0.2)
    assert apply(HingeLoss(margin=0.25), scores).total.item() == 2 * size * (size - 1) * 0.25


def test_a_batch_of_one_pair_has_no_negatives() -> None:
    for hardest in (True, False):
        scores = torch.tensor([[0.3]], requires_grad=True)
        output = apply(HingeLoss(max_violation=hardest), scores).total
        output.backward()
        assert output.item() == 0
        assert scores.grad is not None
        assert scores.grad.item() == 0


@pytest.mark.parametrize(
    "options",
    [{"margin": -0.1}, {"margin": math.nan}, {"margin": math.inf}, {"warmup_epochs": -1}, {"ncon": -1}],
)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(RecipeError, match=f"{next(iter(options))} is"):
        HingeLoss(**options)  # type: ignore[arg-type]


# Contrastive items by shifts


def sum_shifts(scores: np.ndarray, margin: float, ncon: int, image_index: list[int]) -> tuple[float, float]:
    """Return both directions of the loss, one shift of the batch after the other."""
    size, i2t, t2i = len(scores), 0.0, 0.0
    for shift in range(1, ncon + 1):
        for pair in range(size):
            other = (pair + shift) % size
            if other != pair and image_index[other] != image_index[pair]:
                i2t += max(0.0, margin + scores[pair, other] - scores[pair, pair])
                t2i += max(0.0, margin + scores[other, pair] - scores[pair, pair])
    return i2t, t2i


@pytest.mark.parametrize(
    ("ncon", "i2t", "t2i"),
    [
        (1, 0.3 + 0.1, 0.25 + 0.5),  # captions 1, 2, 0 for images 0, 1, 2; images 1, 2, 0 for captions 0, 1, 2
        (2, 0.85, 1.25),  # all of them
        (3, 0.85, 1.25),  # and every pair itself, which is none of its negatives
        (4, 0.85 + 0.4, 1.25 + 0.75),  # and the first ones once more
    ],
)
def test_contrastive_items_worked_by_hand(ncon: int, i2t: float, t2i: float) -> None:
    output = apply(HingeLoss(ncon=ncon), torch.tensor(SCORES))
    assert {name: part.item() for name, part in output.parts.items()} == pytest.approx({"i2t": i2t, "t2i": t2i})
    assert output.total.item() == pytest.approx(i2t + t2i)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 14), st.integers(0, 2**32 - 1), st.booleans())
@pytest.mark.slow
def test_contrastive_items_against_the_definition(size: int, ncon: int, seed: int, mask: bool) -> None:
    generator = np.random.default_rng(seed)
    scores, images = generator.uniform(-1, 1, (size, size)), generator.integers(0, 3, size).tolist()
    expected = sum_shifts(scores, 0.2, ncon, images if mask else list(range(size)))
    output = apply(HingeLoss(ncon=ncon, mask_same_image=mask), torch.from_numpy(scores), images)
    assert (output.parts["i2t"].item(), output.parts["t2i"].item()) == pytest.approx(expected, abs=1e-12)


def test_as_many_contrastive_items_as_there_are_others_are_all_negatives() -> None:
    scores = torch.rand(7, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert apply(HingeLoss(ncon=6), scores).total.item() == pytest.approx(apply(HingeLoss(), scores).total.item())


def test_contrastive_items_do_not_go_with_max_violation() -> None:
    with pytest.raises(RecipeError, match=r"(?s)loss\.ncon is 100, but max violation .*--sum-violation"):
        HingeLoss(ncon=100, max_violation=True)


# InfoNCE


def test_infonce_worked_by_hand() -> None:
    """Of equal scores each of three is as likely as the others; a score that is log 2 higher counts twice."""
    loss = InfoNCELoss(temperature=1.0)
    assert apply(loss, torch.zeros(3, 3)).total.item() == pytest.approx(6 * math.log(3))
    output = apply(InfoNCELoss(temperature=0.5), math.log(2) / 2 * torch.eye(3))  # a softmax of 2/4, 1/4, 1/4
    assert {name: part.item() for name, part in output.parts.items()} == pytest.approx(
        {"i2t": 3 * math.log(2), "t2i": 3 * math.log(2)}
    )
    output = apply(loss, torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]))
    assert output.parts["i2t"].item() == pytest.approx(math.log(4) + math.log(2))
    assert output.parts["t2i"].item() == pytest.approx(math.log(2) + math.log(4))


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.sampled_from([0.07, 1.0, 5.0]), st.booleans())
@pytest.mark.slow
def test_infonce_against_the_definition(size: int, seed: int, temperature: float, mask: bool) -> None:
    generator = np.random.default_rng(seed)
    scores, images = generator.uniform(-1, 1, (size, size)), generator.integers(0, 3, size)
    expected = []
    for matrix in (scores, scores.T):
        weights = np.exp(matrix / np.float32(temperature))
        if mask:
            weights[(images[:, None] == images) & ~np.eye(size, dtype=bool)] = 0
        expected.append(-np.log(weights.diagonal() / weights.sum(axis=1)).sum())
    loss = InfoNCELoss(temperature=temperature, mask_same_image=mask)
    output = apply(loss, torch.from_numpy(scores), images.tolist())
    assert (output.parts["i2t"].item(), output.parts["t2i"].item()) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert output.total.item() == pytest.approx(sum(expected), rel=1e-5, abs=1e-6)


@pytest.mark.slow
def test_a_temperature_that_is_learnt() -> None:
    """Where matches score highest a lower temperature is better, and 0.01 is the lowest."""
    loss = InfoNCELoss(temperature=0.07, learn_temperature=True)
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.01)
    scores = torch.eye(4) / 2
    temperatures = []
    for _ in range(400):
        output = apply(loss, scores)
        temperatures.append(output.parts["temperature"].item())
        optimizer.zero_grad()
        output.total.backward()
        optimizer.step()
    assert temperatures[0] == pytest.approx(0.07)
    assert temperatures == sorted(temperatures, reverse=True)
    assert temperatures[-1] < 0.06
    with torch.no_grad():
        loss.log_scale.fill_(9)
    assert apply(loss, scores).parts["temperature"].item() == pytest.approx(0.01)
    assert list(InfoNCELoss().parameters()) == []  # and is not in a checkpoint
    assert "temperature" not in apply(InfoNCELoss(), scores).parts


@pytest.mark.parametrize("temperature", [0, -1, math.inf, math.nan])
def test_impossible_temperatures_are_refused(temperature: float) -> None:
    with pytest.raises(RecipeError, match=r"temperature is .*; it must be .*above 0"):
        InfoNCELoss(temperature=temperature)
    with pytest.raises(RecipeError, match=r"a learned temperature must be 0\.01 or more"):
        InfoNCELoss(temperature=0.001, learn_temperature=True)


# The sigmoid loss


def test_the_sigmoid_loss_worked_by_hand() -> None:
    """A pair with logit 0 costs log 2; a match with logit l costs log(1 + exp(-l)), another pair log(1 + exp(l))."""
    assert apply(SigmoidLoss(bias=0.0), torch.zeros(3, 3)).total.item() == pytest.approx(9 * math.log(2))
    output = apply(SigmoidLoss(), torch.eye(2))  # matches have 10 - 10, the others -10
    expected = {"matches": 2 * math.log(2), "negatives": 2 * math.log1p(math.exp(-10)), "scale": 10.0, "bias": -10.0}
    assert {name: part.item() for name, part in output.parts.items()} == pytest.approx(expected)
    fixed = SigmoidLoss(scale=1.0, bias=0.0, learn=False)
    output = apply(fixed, math.log(3) * torch.tensor([[1.0, -1.0], [0.0, 1.0]]))
    assert output.total.item() == pytest.approx(3 * math.log(4 / 3) + math.log(2))
    assert list(fixed.parameters()) == []
    assert output.parts.keys() == {"matches", "negatives"}


@pytest.mark.slow
def test_the_sigmoid_loss_of_transformers() -> None:
    """`SiglipModel.forward` with `return_loss`, a mean over the images, from its own embeddings, scale and bias."""
    import dual_families

    original = dual_families.make("siglip")
    pixels = torch.randn(4, 3, dual_families.SIDE, dual_families.SIDE, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(5, 20, (4, 64), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        found = original(input_ids=ids, pixel_values=pixels, return_loss=True)
    loss = SigmoidLoss(scale=math.exp(1.2), bias=-3.0)  # as `make` sets them
    output = apply(loss, found.image_embeds @ found.text_embeds.T)
    assert output.total.item() / 4 == pytest.approx(found.loss.item(), rel=1e-6)
    output.total.backward()
    assert all(parameter.grad is not None and parameter.grad.abs() > 0 for parameter in loss.parameters())


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None)
@pytest.mark.slow
def test_the_sigmoid_loss_against_the_definition(size: int, seed: int, mask: bool) -> None:
    generator = np.random.default_rng(seed)
    scores, images = generator.uniform(-1, 1, (size, size)), generator.integers(0, 3, size)
    expected = 0.0
    for i, j in np.ndindex(size, size):
        sign = 1 if i == j else -1
        if i == j or not (mask and images[i] == images[j]):
            expected -= math.log(1 / (1 + math.exp(-sign * (5 * scores[i, j] - 2))))
    loss = SigmoidLoss(scale=5.0, bias=-2.0, mask_same_image=mask)
    assert apply(loss, torch.from_numpy(scores), images.tolist()).total.item() == pytest.approx(expected, rel=1e-5)


def test_selectively_hard_negatives_by_hand() -> None:
    """Matches 0.9, 0.6, 0.5; highest negatives of images 0.8, 0.7, 0.65, of captions 0.4, 0.65, 0.8.

    Within 0.12: images 0 and 1, caption 1. Image 0 has costs 0 and 0.1, image 1 has 0 and 0.3: means 0.05 and 0.15,
    and image 2 its hardest, 0.35. Captions: 0; the mean of 0.1 and 0.25, 0.175; the hardest, 0.5.
    """
    output = apply(HingeLoss(max_violation=True, selective_epsilon=0.12), torch.tensor(SCORES))
    parts = {name: part.item() for name, part in output.parts.items()}
    assert parts == pytest.approx({"i2t": 0.05 + 0.15 + 0.35, "t2i": 0.0 + 0.175 + 0.5})
    assert output.total.item() == pytest.approx(1.225)


@given(st.integers(0, 2**31), st.integers(2, 6), st.sampled_from([0.0, 0.05, 0.5, 9.0]))
@settings(max_examples=30, deadline=None)
@pytest.mark.slow
def test_selectively_hard_negatives_slowly(seed: int, count: int, epsilon: float) -> None:
    """With 0 it is max violation; with more than all differences, the mean over the negatives."""
    scores = torch.from_numpy(np.random.default_rng(seed).normal(0, 0.3, (count, count)))
    total = 0.0
    for matrix in (scores.numpy(), scores.numpy().T):
        for query, row in enumerate(matrix):
            others = np.delete(row, query)
            costs = np.maximum(0, 0.2 + others - row[query])
            total += costs.mean() if abs(row[query] - others.max()) < epsilon else costs.max()
    found = apply(HingeLoss(max_violation=True, selective_epsilon=epsilon), scores)
    assert found.total.item() == pytest.approx(total)


def test_selectively_hard_negatives_leave_out_captions_of_the_same_image() -> None:
    """Rows 0 and 1 are of one image: image 0 has one negative, 0.8, close to its match; caption 2 has two."""
    loss = HingeLoss(max_violation=True, selective_epsilon=0.12, mask_same_image=True)
    output = apply(loss, torch.tensor(SCORES), [0, 0, 1])
    parts = {name: part.item() for name, part in output.parts.items()}
    assert parts == pytest.approx({"i2t": 0.1 + 0.3 + 0.35, "t2i": 0.0 + 0.25 + 0.5})
    alone = apply(loss, torch.tensor(SCORES), [0, 0, 0])
    assert alone.total.item() == 0


def test_selectively_hard_negatives_after_a_warmup_and_at_a_collapse() -> None:
    """Equal scores cost the margin each, as without; in the warm-up all negatives are summed."""
    loss = HingeLoss(max_violation=True, selective_epsilon=0.12, warmup_epochs=1)
    loss.start_epoch(0)
    assert apply(loss, torch.tensor(SCORES)).total.item() == pytest.approx(2.1)
    loss.start_epoch(1)
    assert apply(loss, torch.tensor(SCORES)).total.item() == pytest.approx(1.225)
    equal = torch.full((4, 4), 0.3, requires_grad=True)
    output = apply(loss, equal)
    assert output.total.item() == pytest.approx(2 * 4 * 0.2)
    output.total.backward()
    # Every negative has a gradient, not one of each row and column.
    assert equal.grad is not None
    assert (equal.grad[~torch.eye(4, dtype=torch.bool)] > 0).all()


def test_selectively_hard_negatives_without_hard_ones() -> None:
    with pytest.raises(RecipeError, match=r"selective_epsilon is 0\.01, but the loss sums"):
        HingeLoss(selective_epsilon=0.01)
