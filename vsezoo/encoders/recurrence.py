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

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from vsezoo.encoders.cells import Cell, GRUCell, LSTMCell, Step
from vsezoo.encoders.prefixes import find_prefixes
from vsezoo.encoders.products import prepare_product

ROWS = 128  # the rows of a product over all steps are padded to a multiple of this, see `_count_padded`
SEQUENCES = 8  # those of a product of one step to a multiple of this

embedding_backward = torch.ops.aten.embedding_dense_backward


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

    states: Tensor  # after each beginning, `(N, H)`; further rows are zeros
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
    places = [_reverse(one.after, lengths) if one.backwards else one.after for one in readings]
    states = [functional.embedding(place, one.states) for place, one in zip(places, readings, strict=True)]
    ended = torch.arange(places[0].shape[1]) >= lengths[:, None]
    return torch.cat(states, dim=2).masked_fill(ended[:, :, None], 0)


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
    sizes, parents = prefixes.sizes, prefixes.parents
    states: Tensor = _Recurrence.apply(cell, inputs, chosen, weight_hh, bias_hh, sizes, parents, wanted, keep)
    return _Reading(states, after, backwards)


def _pad(tensor: Tensor) -> Tensor:
    """Return a tensor `(N, …)`, under autocast with zero rows after it."""
    missing = _count_padded(len(tensor)) - len(tensor)
    return functional.pad(tensor, [0, 0] * (tensor.ndim - 1) + [0, missing]) if missing else tensor


def _count_padded(rows: int) -> int:
    """Return the rows of a product over all steps: in bfloat16, oneDNN compiles kernels for each shape."""
    return rows + -rows % ROWS if torch.is_autocast_enabled("cpu") else rows


class _Recurrence(torch.autograd.Function):
    """All steps of one layer in one direction.

    Products are computed in bfloat16 under autocast to it; states and gates are float32 at least.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: type[Cell],
        inputs: Tensor,
        chosen: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        sizes: list[int],
        parents: tuple[Tensor, ...],
        wanted: Tensor | None,
        keep: bool,
    ) -> Tensor:
        """Return the states of all steps `(N, H)`, and rows of zeros that are padding; or those that are wanted.

        Args:
            ctx: torch's context.
            cell: the formulas of the network.
            inputs: `W x + b` of the items `(U, gates * H)`, and rows that are padding.
            chosen: the item of each state, `(N,)`; None for items in the order of the states.
            weight: recurrent weight.
            bias: recurrent bias.
            sizes: the number of states of each step; see `Prefixes`.
            parents: for each step but the first, the states of the step before that are continued.
            wanted: the states to return, `(B,)`; None for all.
            keep: keep what `backward` needs; then all states are wanted.
        """
        ctx.cell, ctx.sizes, ctx.parents, ctx.chosen = cell, sizes, parents, chosen
        ctx.items, ctx.dtype, count, padded = len(inputs), inputs.dtype, sum(sizes), _count_padded(sum(sizes))
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            weight = weight.to(half or weight.dtype)
            bias, inputs = bias.to(weight.dtype), inputs.to(torch.promote_types(inputs.dtype, torch.float32))
            push = prepare_product(weight, max(sizes))
            width = weight.shape[1]
            states = inputs.new_empty(padded if wanted is None else len(wanted), width)
            states[count:] = 0
            previous = weight.new_zeros(padded if keep else max(sizes) + SEQUENCES, width)
            state = inputs.new_zeros(sizes[0], width)
            before = state if cell.remembers else state[:0]
            pushed = bias.to(inputs.dtype).repeat(sizes[0], 1)
            taken: list[Tensor] = []
            for rows, parent in zip(_cut(sizes), [None, *parents], strict=True):
                if parent is not None:
                    state = state.index_select(0, parent)
                    before = before.index_select(0, parent) if cell.remembers else before
                    here = rows if keep else slice(0, len(state))
                    previous[here] = state
                    pushed = push(_round_up(previous, here), bias)[: len(state)].to(inputs.dtype)
                step = Step(state, before, pushed, torch.empty_like(state))
                read = inputs[rows] if chosen is None else inputs.index_select(0, chosen[rows])
                new = states[rows] if wanted is None else torch.empty_like(state)
                cell.advance(step, read, new)
                if wanted is not None:
                    found = (wanted >= rows.start) & (wanted < rows.stop)
                    states[found] = new[wanted[found] - rows.start]
                state, before = new, step.kept if cell.remembers else before
                taken += (step.pushed, step.kept) if keep else ()
        if keep:
            ctx.save_for_backward(previous, weight, *taken)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of inputs, weight and bias."""
        previous, weight, *taken = ctx.saved_tensors
        cell, parents, slices = ctx.cell, ctx.parents, _cut(ctx.sizes)
        pull = prepare_product(weight.T, max(ctx.sizes))
        pushed, kept, (of_all,) = taken[::2], taken[1::2], gradients
        # The gradients of an item are added up, in float32 at least.
        dtype = ctx.dtype if ctx.chosen is None else of_all.dtype
        of_inputs = weight.new_empty(len(of_all), len(weight), dtype=dtype)
        of_pushed = torch.empty_like(of_inputs, dtype=weight.dtype)
        of_inputs[slices[-1].stop :], of_pushed[slices[-1].stop :] = 0, 0
        of_states, of_kept = of_all[slices[-1]].clone(), torch.zeros_like(kept[-1])
        for level in reversed(range(len(slices))):
            rows, before = slices[level], kept[level][:0]
            if cell.remembers:
                before = kept[level - 1].index_select(0, parents[level - 1]) if level else torch.zeros_like(kept[0])
            step = Step(previous[rows], before, pushed[level], kept[level])
            of_state, of_before = cell.retreat(step, of_states, of_kept, of_inputs[rows], of_pushed[rows])
            if level:
                of_state = of_state + pull(_round_up(of_pushed, rows), None)[: len(of_state)]
                of_states = of_all[slices[level - 1]].index_add(0, parents[level - 1], of_state)
                if cell.remembers:
                    of_kept = torch.zeros_like(of_states).index_add_(0, parents[level - 1], of_before)
        of_weight, of_bias = of_pushed.T @ previous, of_pushed.new_ones(1, len(of_pushed)) @ of_pushed
        if ctx.chosen is not None:
            of_states = of_inputs[: len(ctx.chosen)]
            of_inputs = embedding_backward(of_states, ctx.chosen, ctx.items, -1, False).to(ctx.dtype)
        of_weight, of_bias = of_weight.to(of_all.dtype), of_bias[0].to(of_all.dtype)
        return None, of_inputs, None, of_weight, of_bias, None, None, None, None


def _cut(sizes: list[int]) -> list[slice]:
    """Return the rows of each step."""
    starts = [0, *itertools.accumulate(sizes)]
    return list(map(slice, starts[:-1], starts[1:]))


def _round_up(tensor: Tensor, rows: slice) -> Tensor:
    """Return the rows and some that follow, for the reason of `_count_padded`."""
    size = rows.stop - rows.start
    return tensor[rows.start : rows.start + size + -size % SEQUENCES]
