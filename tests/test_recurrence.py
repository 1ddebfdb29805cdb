"""The recurrence for the CPU against torch's own GRU, whose parameters it uses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from vsezoo.encoders.recurrence import run_recurrence

LENGTHS = torch.tensor([3, 9, 1, 9, 4, 2])


def make_case(layers: int, dtype: torch.dtype = torch.float64) -> tuple[nn.GRU, Tensor, PackedSequence]:
    torch.manual_seed(layers)
    gru = nn.GRU(7, 5, layers, batch_first=True, dtype=dtype)
    words = torch.randn(len(LENGTHS), 9, 7, dtype=dtype, requires_grad=True)
    return gru, words, pack_padded_sequence(words, LENGTHS, batch_first=True, enforce_sorted=False)


@pytest.mark.parametrize("layers", [1, 3])
def test_states_and_gradients_are_those_of_torch(layers: int) -> None:
    gru, words, packed = make_case(layers)
    theirs, ours = gru(packed)[1][-1], run_recurrence(gru, packed)[1][-1]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
    weights = torch.randn_like(theirs)
    inputs = [words, *gru.parameters()]
    expected = torch.autograd.grad((theirs * weights).sum(), inputs, retain_graph=True)
    for gradient, reference in zip(torch.autograd.grad((ours * weights).sum(), inputs), expected, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-13)


def test_sorted_batch_without_a_permutation() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    packed = pack_padded_sequence(torch.randn(3, 4, 2), torch.tensor([4, 2, 2]), batch_first=True)
    assert packed.unsorted_indices is None
    torch.testing.assert_close(run_recurrence(gru, packed)[1][-1], gru(packed)[1][-1])


def test_one_step() -> None:
    gru = nn.GRU(2, 3, batch_first=True)
    packed = pack_padded_sequence(torch.randn(2, 1, 2), torch.tensor([1, 1]), batch_first=True)
    torch.testing.assert_close(run_recurrence(gru, packed)[1][-1], gru(packed)[1][-1])


def test_autocast_gives_float32_states_near_those_of_float32() -> None:
    gru, words, packed = make_case(1, torch.float32)
    exact = run_recurrence(gru, packed)[1][-1]
    with torch.autocast("cpu", torch.bfloat16):
        rough = run_recurrence(gru, packed)[1][-1]
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)  # the products were rounded
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.02)
    expected = torch.autograd.grad(exact.sum(), [words, *gru.parameters()], retain_graph=True)
    for gradient, reference in zip(torch.autograd.grad(rough.sum(), [words, *gru.parameters()]), expected, strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, reference, rtol=0.1, atol=0.03)
