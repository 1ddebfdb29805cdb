"""The recurrence for the CPU against torch's own GRU and LSTM, whose parameters it uses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from vsezoo.encoders.recurrence import run_recurrence

LENGTHS = torch.tensor([3, 9, 1, 9, 4, 2])
NETWORKS = pytest.mark.parametrize("network", [nn.GRU, nn.LSTM])
Network = nn.GRU | nn.LSTM


def make_case(
    network: type[Network], layers: int = 1, both: bool = False, dtype: torch.dtype = torch.float64
) -> tuple[Network, Tensor, PackedSequence]:
    torch.manual_seed(layers)
    rnn = network(7, 5, layers, batch_first=True, bidirectional=both, dtype=dtype)
    words = torch.randn(len(LENGTHS), 9, 7, dtype=dtype, requires_grad=True)
    return rnn, words, pack_padded_sequence(words, LENGTHS, batch_first=True, enforce_sorted=False)


def run_torch(rnn: Network, packed: PackedSequence) -> tuple[Tensor, Tensor]:
    outputs, states = rnn(packed)
    last = states[0] if isinstance(rnn, nn.LSTM) else states
    return outputs.data, last[-2:] if rnn.bidirectional else last[-1:]


@NETWORKS
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("used", ["all steps", "last states", "both"])
def test_states_and_gradients_are_those_of_torch(network: type[Network], layers: int, both: bool, used: str) -> None:
    rnn, words, packed = make_case(network, layers, both)
    outputs, last = run_recurrence(rnn, packed)
    assert outputs.batch_sizes is packed.batch_sizes
    assert outputs.unsorted_indices is packed.unsorted_indices
    ours, theirs = (outputs.data, last), run_torch(rnn, packed)
    weights = [torch.randn_like(states) for states in theirs]
    chosen = {"all steps": [0], "last states": [1], "both": [0, 1]}[used]
    inputs = [words, *rnn.parameters()]
    gradients = []
    for results in (ours, theirs):
        total = sum((results[index] * weights[index]).sum() for index in chosen)
        gradients.append(torch.autograd.grad(total, inputs, retain_graph=True, allow_unused=True))
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    for gradient, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-13)


@NETWORKS
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("lengths", [[4, 2, 2], [1, 1], [5]])
def test_sorted_batches_without_a_permutation(network: type[Network], both: bool, lengths: list[int]) -> None:
    rnn = network(2, 3, batch_first=True, bidirectional=both)
    packed = pack_padded_sequence(torch.randn(len(lengths), 5, 2), torch.tensor(lengths), batch_first=True)
    assert packed.unsorted_indices is None
    outputs, last = run_recurrence(rnn, packed)
    torch.testing.assert_close((outputs.data, last), run_torch(rnn, packed))


@NETWORKS
def test_autocast_gives_float32_states_near_those_of_float32(network: type[Network]) -> None:
    rnn, words, packed = make_case(network, both=True, dtype=torch.float32)
    exact = run_recurrence(rnn, packed)[1]
    with torch.autocast("cpu", torch.bfloat16):
        rough = run_recurrence(rnn, packed)[1]
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)  # the products were rounded
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.02)
    inputs = [words, *rnn.parameters()]
    expected = torch.autograd.grad(exact.sum(), inputs, retain_graph=True)
    for gradient, reference in zip(torch.autograd.grad(rough.sum(), inputs), expected, strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, reference, rtol=0.1, atol=0.03)
