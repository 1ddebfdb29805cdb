"""The recurrence for the CPU against torch's own GRU and LSTM, whose parameters it uses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from vsezoo.encoders import recurrence
from vsezoo.encoders.cells import GRUCell, Step
from vsezoo.encoders.recurrence import Sequences, read_all, read_last

LENGTHS = torch.tensor([3, 9, 1, 9, 4, 2])
PLACES = torch.randint(0, 3, (6, 9), generator=torch.Generator().manual_seed(0))
NETWORKS = pytest.mark.parametrize("network", [nn.GRU, nn.LSTM])
Network = nn.GRU | nn.LSTM


def make_case(
    network: type[Network], layers: int = 1, both: bool = False, alike: bool = True, dtype: torch.dtype = torch.float64
) -> tuple[Network, Sequences]:
    """Make a network and sequences, of three items or of items that all differ."""
    torch.manual_seed(layers)
    rnn = network(7, 5, layers, batch_first=True, bidirectional=both, dtype=dtype)
    items = torch.randn(3 if alike else PLACES.numel(), 7, dtype=dtype, requires_grad=True)
    places = PLACES if alike else torch.arange(PLACES.numel()).view_as(PLACES)
    return rnn, Sequences(items, places, LENGTHS)


def run_torch(rnn: Network, sequences: Sequences) -> tuple[Tensor, Tensor]:
    items = sequences.items[sequences.places]
    outputs, states = rnn(pack_padded_sequence(items, sequences.lengths, batch_first=True, enforce_sorted=False))
    last = states[0] if isinstance(rnn, nn.LSTM) else states
    padded, _ = pad_packed_sequence(outputs, batch_first=True, total_length=items.shape[1])
    return padded, last[-2:] if rnn.bidirectional else last[-1:]


@NETWORKS
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("alike", [False, True])
def test_states_and_gradients_are_those_of_torch(network: type[Network], layers: int, both: bool, alike: bool) -> None:
    rnn, sequences = make_case(network, layers, both, alike)
    ours, theirs = (read_all(rnn, sequences), read_last(rnn, sequences)), run_torch(rnn, sequences)
    inputs = [sequences.items, *rnn.parameters()]
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
        weights = torch.randn_like(expected)
        gradients = [
            torch.autograd.grad((states * weights).sum(), inputs, retain_graph=True) for states in (found, expected)
        ]
        for gradient, reference in zip(*gradients, strict=True):
            torch.testing.assert_close(gradient, reference, rtol=0, atol=1e-13)
    with torch.no_grad():  # another way, which keeps less
        torch.testing.assert_close((read_all(rnn, sequences), read_last(rnn, sequences)), ours, rtol=0, atol=1e-14)


@NETWORKS
@pytest.mark.parametrize("lengths", [[4, 2, 2], [1, 1], [5]])
def test_batches_shorter_than_their_padding(network: type[Network], lengths: list[int]) -> None:
    rnn = network(2, 3, batch_first=True, bidirectional=True)
    sequences = Sequences.of(torch.randn(len(lengths), 5, 2), torch.tensor(lengths))
    torch.testing.assert_close((read_all(rnn, sequences), read_last(rnn, sequences)), run_torch(rnn, sequences))


@NETWORKS
def test_a_batch_of_none_has_no_states(network: type[Network]) -> None:
    rnn = network(2, 3, batch_first=True, bidirectional=True)
    sequences = Sequences.of(torch.zeros(0, 5, 2), torch.zeros(0, dtype=torch.int64))
    assert read_all(rnn, sequences).shape == (0, 5, 6)
    assert read_last(rnn, sequences).shape == (2, 0, 3)


def test_each_beginning_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    class Cell(GRUCell):
        @staticmethod
        def advance(step: Step, inputs: Tensor, states: Tensor) -> None:
            read.append(len(states))
            GRUCell.advance(step, inputs, states)

    monkeypatch.setattr(recurrence, "GRUCell", Cell)
    places = torch.tensor([[0, 1, 2, 0], [0, 1, 0, 0], [3, 1, 2, 0], [0, 1, 2, 3], [0, 0, 0, 0], [0, 1, 2, 0]])
    sequences = Sequences(torch.randn(4, 7), places, torch.tensor([3, 2, 3, 4, 1, 3]))
    states = read_last(nn.GRU(7, 5), sequences)[0]
    assert read == [2, 2, 2, 1]
    assert torch.equal(states[0], states[5])
    assert not torch.equal(states[0], states[2])


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation returns."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation."""
        result = func(*args, **(kwargs or {}))
        self.numbers = max(
            [self.numbers, *(one.numel() for one in pytree.tree_leaves(result) if isinstance(one, Tensor))]
        )
        return result


@NETWORKS
def test_last_states_without_gradients_take_no_memory_for_each_step(network: type[Network]) -> None:
    rnn = network(2, 64, bidirectional=True)
    sequences = Sequences(torch.randn(3, 2), torch.randint(0, 3, (20, 100)), torch.full((20,), 100))
    with torch.no_grad(), Largest() as largest:
        read_last(rnn, sequences)
    assert largest.numbers <= 4 * 64 * 64  # a weight; all states were 2,000 * 64


@NETWORKS
@pytest.mark.parametrize("alike", [False, True])
def test_autocast_gives_float32_states_near_those_of_float32(network: type[Network], alike: bool) -> None:
    rnn, sequences = make_case(network, both=True, alike=alike, dtype=torch.float32)
    exact = read_last(rnn, sequences)
    with torch.autocast("cpu", torch.bfloat16):
        rough = read_last(rnn, sequences)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)  # the products were rounded
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.02)
    inputs: list[Any] = [sequences.items, *rnn.parameters()]
    expected = torch.autograd.grad(exact.sum(), inputs, retain_graph=True)
    for gradient, reference in zip(torch.autograd.grad(rough.sum(), inputs), expected, strict=True):
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, reference, rtol=0.1, atol=0.03)


def test_gradients_of_a_frequent_item_are_added_up_in_float32() -> None:
    """In bfloat16, a sum stops growing once it is 256 times what is added."""
    rnn, count = nn.GRU(1, 1, batch_first=True), 2000
    nn.init.zeros_(rnn.weight_hh_l0)
    items = torch.ones(1, 1, requires_grad=True)
    lengths = torch.ones(count, dtype=torch.int64)
    places = torch.zeros(count, 2, dtype=torch.int64)
    places[:, 1] = torch.arange(count) % 2
    both = torch.cat([items, items.new_zeros(1, 1)])
    expected = torch.autograd.grad(read_last(rnn, Sequences(both, places, lengths)).sum(), items)[0]
    with torch.autocast("cpu", torch.bfloat16):
        rough = read_last(rnn, Sequences(torch.cat([items, items.new_zeros(1, 1)]), places, lengths)).sum()
    torch.testing.assert_close(torch.autograd.grad(rough, items)[0], expected, rtol=0.02, atol=0)
