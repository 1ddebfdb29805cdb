"""The recurrence of a GRU or an LSTM over packed captions, for the CPU.

torch's own networks leave the gradient of the recurrent weights to autograd, which on the CPU creates a matrix of the
size of the weights for each time step and adds them up: for a GRU with 1,024 units, 12 MB thirty times over, most of a
training step. Here that gradient is one product over all time steps. The formulas are those of `torch.nn.GRU` and
`torch.nn.LSTM`, whose parameters are used unchanged; on other devices torch's own networks (cuDNN) are faster and used.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

ROWS = 128  # the number of words in a batch is padded to a multiple of this
SEQUENCES = 8  # the number of sequences in a product is padded to a multiple of this

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


def run_recurrence(rnn: nn.GRU | nn.LSTM, packed: PackedSequence) -> tuple[PackedSequence, Tensor]:
    """Return the output of a network for packed sequences, in float32 also under autocast.

    Args:
        rnn: the network, with biases and without dropout.
        packed: output of `pack_padded_sequence`.

    Returns:
        the last layer's states at all steps, `(T, directions * H)`, packed like the input; and those after the last
        step of each direction, `(directions, B, H)`, in the order before packing.
    """
    directions = 2 if rnn.bidirectional else 1
    if packed.data.device.type != "cpu":
        outputs, states = rnn(packed)
        last = states[0] if isinstance(rnn, nn.LSTM) else states
        return outputs._replace(data=outputs.data.float()), last[-directions:].float()
    cell = LSTMCell if isinstance(rnn, nn.LSTM) else GRUCell
    sizes = packed.batch_sizes.tolist()
    # Zero rows at the end limit the number of distinct batch sizes; see `_round_up`.
    steps = functional.pad(packed.data, (0, 0, 0, -len(packed.data) % ROWS))
    backwards = _reverse(packed.batch_sizes, len(steps)) if rnn.bidirectional else None
    for layer in range(rnn.num_layers):
        suffixes = [f"l{layer}", f"l{layer}_reverse"][:directions]
        orders = [None, backwards][:directions]
        results = [
            _run_layer(cell, rnn, suffix, steps, sizes, order) for suffix, order in zip(suffixes, orders, strict=True)
        ]
        steps = torch.cat([states for states, _ in results], dim=1)
        last = torch.stack([after for _, after in results])
    if packed.unsorted_indices is not None:
        last = last[:, packed.unsorted_indices]
    return packed._replace(data=steps[: len(packed.data)]), last


def run_gru(gru: nn.GRU, packed: PackedSequence) -> Tensor:
    """Return the state of a GRU of one direction after the last step of each sequence, `(B, H)` float32."""
    return run_recurrence(gru, packed)[1][-1]


def _run_layer(
    cell: type[_Cell], rnn: nn.Module, suffix: str, steps: Tensor, sizes: list[int], order: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the states of all steps and the last ones of one layer in one direction."""
    weight_ih, weight_hh, bias_ih, bias_hh = (
        getattr(rnn, f"{name}_{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    inputs = functional.linear(steps if order is None else steps[order], weight_ih, bias_ih)
    states, last = _Recurrence.apply(cell, inputs, weight_hh, bias_hh, sizes)
    return states if order is None else states[order], last


class Step(NamedTuple):
    """Inputs and outputs of one step of a layer: rows of larger tensors, each `(sequences, H)` or `(…, gates * H)`."""

    state: Tensor  # h, the previous state
    before: Tensor  # `kept` of the previous step
    pushed: Tensor  # W h + b; `advance` replaces it by what `retreat` needs
    kept: Tensor  # filled by `advance`


class _Cell(ABC):
    """The formulas of one step, forwards and backwards."""

    @staticmethod
    @abstractmethod
    def advance(step: Step, inputs: Tensor, states: Tensor) -> None:
        """Fill `states` from the inputs `W x + b`."""

    @staticmethod
    @abstractmethod
    def retreat(step: Step, gradient: Tensor, carried: Tensor, of_inputs: Tensor, of_pushed: Tensor) -> Tensor:
        """Fill the gradients of inputs and pushed from that of the states, which may be modified.

        `carried` is the return value for the following step, for the sequences that continue there.
        """


class GRUCell(_Cell):
    """`h' = (1 - z) n + z h` with `r, z = σ(a + W h + b)` and `n = tanh(a_n + r (W_n h + b_n))`; keeps n."""

    @staticmethod
    def advance(step: Step, inputs: Tensor, states: Tensor) -> None:
        """Fill `states`."""
        width = states.shape[1]
        step.pushed[:, : 2 * width].add_(inputs[:, : 2 * width]).sigmoid_()
        reset, update, recurrent = step.pushed.chunk(3, dim=1)
        torch.addcmul(inputs[:, 2 * width :], reset, recurrent, out=step.kept).tanh_()
        torch.lerp(step.kept, step.state, update, out=states)

    @staticmethod
    def retreat(step: Step, gradient: Tensor, carried: Tensor, of_inputs: Tensor, of_pushed: Tensor) -> Tensor:
        """Fill the gradients."""
        reset, update, recurrent = step.pushed.chunk(3, dim=1)
        gradient[: len(carried)] += carried
        of_new = tanh_backward(torch.addcmul(gradient, gradient, update, value=-1), step.kept)
        of_reset = sigmoid_backward(of_new * recurrent, reset)
        of_update = sigmoid_backward(gradient * (step.state - step.kept), update)
        torch.cat([of_reset, of_update, of_new], dim=1, out=of_inputs)
        torch.cat([of_reset, of_update, of_new * reset], dim=1, out=of_pushed)
        return gradient * update


class LSTMCell(_Cell):
    """`h' = o tanh(c')`, `c' = f c + i g` with `i, f, o = σ(a + W h + b)`, `g = tanh(a_g + W_g h + b_g)`; keeps c'."""

    @staticmethod
    def advance(step: Step, inputs: Tensor, states: Tensor) -> None:
        """Fill `states`."""
        enter, forget, new, leave = step.pushed.add_(inputs).chunk(4, dim=1)
        for gate in (enter, forget, leave):
            gate.sigmoid_()
        torch.mul(forget, step.before, out=step.kept).addcmul_(enter, new.tanh_())
        torch.tanh(step.kept, out=states).mul_(leave)

    @staticmethod
    def retreat(step: Step, gradient: Tensor, carried: Tensor, of_inputs: Tensor, of_pushed: Tensor) -> Tensor:
        """Fill the gradients."""
        enter, forget, new, leave = step.pushed.chunk(4, dim=1)
        shown = step.kept.tanh()
        of_kept: Tensor = tanh_backward(gradient * leave, shown)
        of_kept[: len(carried)] += carried
        of_enter = sigmoid_backward(of_kept * new, enter)
        of_forget = sigmoid_backward(of_kept * step.before, forget)
        of_new = tanh_backward(of_kept * enter, new)
        torch.cat([of_enter, of_forget, of_new, sigmoid_backward(gradient * shown, leave)], dim=1, out=of_inputs)
        of_pushed.copy_(of_inputs)
        return of_kept * forget


class _Recurrence(torch.autograd.Function):
    """All steps of one layer in one direction.

    Products are computed in bfloat16 under autocast to it; states and gates are float32 at least.
    """

    @staticmethod
    def forward(
        ctx: Any, cell: type[_Cell], inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]
    ) -> tuple[Tensor, Tensor]:
        """Return the states of all steps `(T, H)`, packed like the inputs, and the last ones `(B, H)`.

        Args:
            ctx: torch's context.
            cell: the formulas of the network.
            inputs: `W x + b` of all steps, packed, `(T, gates * H)`.
            weight: recurrent weight.
            bias: recurrent bias.
            sizes: number of sequences at each step.
        """
        ctx.set_materialize_grads(False)
        ctx.cell, ctx.dtype, ctx.sizes = cell, inputs.dtype, sizes
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            weight = weight.to(half or weight.dtype)
            bias, inputs = bias.to(weight.dtype), inputs.to(torch.promote_types(inputs.dtype, torch.float32))
            width = weight.shape[1]
            pushed = torch.empty_like(inputs)
            kept, states = (inputs.new_empty(len(inputs), width) for _ in range(2))
            previous = weight.new_zeros(len(inputs), width)
            states[sum(sizes) :] = 0
            last, state, before = (inputs.new_zeros(sizes[0], width) for _ in range(3))
            for rows, going_on in _steps(sizes):
                size = rows.stop - rows.start
                previous[rows] = state[:size]
                pushed[rows] = functional.linear(_round_up(previous, rows), weight, bias)[:size]
                step = Step(state[:size], before[:size], pushed[rows], kept[rows])
                cell.advance(step, inputs[rows], states[rows])
                state, before = states[rows], kept[rows]
                last[going_on:size] = state[going_on:]
        ctx.save_for_backward(pushed, kept, previous, weight)
        return states, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, Tensor, Tensor, Tensor, None]:
        """Return the gradients of inputs, weight and bias."""
        pushed, kept, previous, weight = ctx.saved_tensors
        of_states, of_last = gradients
        width, total, steps = weight.shape[1], sum(ctx.sizes), _steps(ctx.sizes)
        of_inputs = torch.empty_like(pushed, dtype=ctx.dtype)
        of_pushed = torch.empty_like(pushed, dtype=weight.dtype)
        of_inputs[total:], of_pushed[total:] = 0, 0
        of_state = carried = kept[:0]
        befores = [kept.new_zeros(ctx.sizes[0], width), *(kept[rows] for rows, _ in steps[:-1])]
        for (rows, going_on), before in zip(reversed(steps), reversed(befores), strict=True):
            size = rows.stop - rows.start
            ended = kept.new_zeros(size - going_on, width) if of_last is None else of_last[going_on:size]
            gradient = torch.cat([of_state, ended])
            if of_states is not None:
                gradient += of_states[rows]
            step = Step(previous[rows], before[:size], pushed[rows], kept[rows])
            carried = ctx.cell.retreat(step, gradient, carried, of_inputs[rows], of_pushed[rows])
            of_state = (_round_up(of_pushed, rows) @ weight)[:size].to(kept.dtype)
        of_weight, of_bias = of_pushed.T @ previous, of_pushed.new_ones(1, len(of_pushed)) @ of_pushed
        return None, of_inputs, of_weight.to(kept.dtype), of_bias[0].to(kept.dtype), None


def _reverse(sizes: Tensor, rows: int) -> Tensor:
    """Return the row order that reverses each packed sequence; rows past the sequences stay in place."""
    index = torch.arange(rows)
    step = torch.arange(len(sizes)).repeat_interleave(sizes)
    starts = sizes.cumsum(0) - sizes
    sequence = index[: len(step)] - starts[step]
    lengths = (sizes[:, None] > torch.arange(int(sizes[0]))).sum(dim=0)
    index[: len(step)] = starts[lengths[sequence] - 1 - step] + sequence
    return index


def _steps(sizes: list[int]) -> list[tuple[slice, int]]:
    """Yield the rows of each time step, and the number of sequences that continue: the first ones."""
    starts = [0, *itertools.accumulate(sizes)]
    return list(zip(map(slice, starts[:-1], starts[1:]), [*sizes[1:], 0], strict=True))


def _round_up(tensor: Tensor, rows: slice) -> Tensor:
    """Return the rows and some that follow: in bfloat16, oneDNN compiles and caches a kernel for each new shape."""
    size = rows.stop - rows.start
    return tensor[rows.start : rows.start + size + -size % SEQUENCES]
