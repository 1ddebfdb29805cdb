"""The recurrence of a GRU or an LSTM over sequences of different lengths.

On the CPU, torch's own networks leave the gradient of the recurrent weights to autograd, which creates a matrix of the
size of the weights for each time step and adds them up: for a GRU with 1,024 units, 12 MB thirty times over, most of a
training step. Here that gradient is one product over all time steps, and what sequences have in common is computed
once: the input of an item, and the state after items with which several begin (`vsezoo.encoders.prefixes`). The
formulas are those of `torch.nn.GRU` and `torch.nn.LSTM`, whose parameters are used unchanged. On other devices torch's
own networks (cuDNN) are faster and used.

Sizes: B sequences of up to L items, U distinct items, N distinct beginnings of sequences, H the width of a state.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from vsezoo.encoders.cells import GRUCell, LSTMCell
from vsezoo.encoders.prefixes import find_prefixes
from vsezoo.encoders.recurrent_steps import RecurrentSteps, count_padded


class Sequences(NamedTuple):
    """Sequences of items, which may have items in common."""

    items: Tensor  # `(U, E)`
    places: Tensor  # the items of each sequence as rows of `items`, `(B, L)`; past its end, any
    lengths: Tensor  # `(B,)` on the CPU, each 1 or more

    @classmethod
    def of(cls, items: Tensor, lengths: Tensor) -> Sequences:
        """Return sequences `(B, L, E)` without common items."""
        count, length, width = items.shape
        places = torch.arange(count * length, device=items.device).view(count, length)
        return cls(items.reshape(-1, width), places, lengths)


class _Reading(NamedTuple):
    """What one direction of a layer has read."""

    states: Tensor  # after each beginning, `(N, H)`; if all are wanted, a last row of zeros
    after: Tensor  # the row of `states` after each item, in the order of reading, `(B, L)`; only after the last, `(B,)`
    backwards: bool


def read_all(rnn: nn.GRU | nn.LSTM, sequences: Sequences) -> Tensor:
    """Return the last layer's states after each item, `(B, L, directions * H)`; past the end of a sequence, zeros.

    The states are float32 also under autocast. The network has biases and no dropout.
    """
    if sequences.items.device.type != "cpu":
        states, _ = _run_torch(rnn, sequences)
        return pad_packed_sequence(states, batch_first=True, total_length=sequences.places.shape[1])[0].float()
    if not len(sequences.lengths):
        return sequences.items.new_zeros(*sequences.places.shape, (1 + rnn.bidirectional) * rnn.hidden_size)
    return _spread(_read_layers(rnn, sequences), sequences.lengths)


def read_last(rnn: nn.GRU | nn.LSTM, sequences: Sequences) -> Tensor:
    """Return the last layer's states after the last step of each direction, `(directions, B, H)`; see `read_all`."""
    if sequences.items.device.type != "cpu":
        _, states = _run_torch(rnn, sequences)
        last: Tensor = states[0] if isinstance(rnn, nn.LSTM) else states
        return last[-1 - rnn.bidirectional :].float()
    if not len(sequences.lengths):
        return sequences.items.new_zeros(1 + rnn.bidirectional, 0, rnn.hidden_size)
    readings = _read_layers(rnn, sequences, last=True)
    return torch.stack([reading.states.index_select(0, reading.after) for reading in readings])


def average_directions(states: Tensor) -> Tensor:
    """Return the means `(…, H)` of the states of both directions, `(…, 2 * H)`."""
    return states.reshape(*states.shape[:-1], 2, -1).mean(dim=-2)


def _run_torch(rnn: nn.GRU | nn.LSTM, sequences: Sequences) -> tuple[PackedSequence, Any]:
    items = functional.embedding(sequences.places, sequences.items)
    packed = pack_padded_sequence(items, sequences.lengths, batch_first=True, enforce_sorted=False)
    outputs: tuple[PackedSequence, Any] = rnn(packed)
    return outputs


def _read_layers(rnn: nn.GRU | nn.LSTM, sequences: Sequences, last: bool = False) -> list[_Reading]:
    """Return what each direction of the last layer has read; see `_read`."""
    readings: list[_Reading] = []
    for layer in range(rnn.num_layers):
        if layer:
            sequences = Sequences.of(_spread(readings, sequences.lengths), sequences.lengths)
        ends = last and layer == rnn.num_layers - 1
        readings = [_read(rnn, f"l{layer}", sequences, ends)]
        if rnn.bidirectional:
            readings.append(_read(rnn, f"l{layer}_reverse", sequences, ends, backwards=True))
    return readings


def _spread(readings: Sequence[_Reading], lengths: Tensor) -> Tensor:
    """Return the states of all directions after each item, `(B, L, directions * H)`."""
    found = []
    for states, after, backwards in readings:
        places, zeros = _reverse(after, lengths) if backwards else after, len(states) - 1
        places = places.masked_fill(torch.arange(places.shape[1]) >= lengths[:, None], zeros)
        found.append(functional.embedding(places, states, padding_idx=zeros))
    return torch.cat(found, dim=2) if len(found) > 1 else found[0]


def _reverse(places: Tensor, lengths: Tensor) -> Tensor:
    """Return the first `lengths` entries of each row in reverse."""
    index = lengths[:, None] - 1 - torch.arange(places.shape[1])
    return places.gather(1, index.clamp(min=0))


def _read(rnn: nn.GRU | nn.LSTM, suffix: str, sequences: Sequences, last: bool, backwards: bool = False) -> _Reading:
    """Read sequences with one layer in one direction; with `last`, only the states after their ends are wanted."""
    weight_ih, weight_hh, bias_ih, bias_hh = (
        rnn.get_parameter(f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    items, places, lengths = sequences
    prefixes = find_prefixes(_reverse(places, lengths) if backwards else places, lengths)
    chosen: Tensor | None = prefixes.items
    if len(items) >= len(prefixes.items):
        items, chosen = functional.embedding(prefixes.items, items), None
    inputs = functional.linear(_pad(items), weight_ih, bias_ih)
    cell = LSTMCell if isinstance(rnn, nn.LSTM) else GRUCell
    after, wanted, keep = prefixes.of_sequences, None, torch.is_grad_enabled()
    if last:
        after = after.gather(1, lengths[:, None] - 1)[:, 0]
    if last and not keep:
        wanted, after = after, torch.arange(len(after))
    states: Tensor = RecurrentSteps.apply(cell, prefixes, inputs, chosen, weight_hh, bias_hh, wanted, keep)
    return _Reading(states, after, backwards)


def _pad(items: Tensor) -> Tensor:
    """Return items `(N, E)`, under autocast with zero rows after them; see `count_padded`."""
    missing = count_padded(len(items)) - len(items)
    return functional.pad(items, (0, 0, 0, missing)) if missing else items
