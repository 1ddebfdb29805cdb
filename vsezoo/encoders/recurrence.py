"""The recurrence of a GRU over packed captions, for the CPU.

torch's own GRU leaves the gradient of the recurrent weights to autograd, which on the CPU makes one matrix of the
weights' size for each time step and adds them up: with 1,024 units, 12 MB thirty times over, most of a training step.
Here that gradient is one product over all time steps. The formulas are those of `torch.nn.GRU`, whose parameters are
used as they are; on other devices torch's (cuDNN's) is faster and is used.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

ROWS = 128  # words in a batch are filled up to a multiple of this
SEQUENCES = 8  # and the sequences that go through a product at a time to a multiple of this

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


def run_recurrence(rnn: nn.GRU | nn.LSTM, packed: PackedSequence) -> tuple[PackedSequence, Tensor]:
    """Return what the network gives for packed sequences, in float32.

    Args:
        rnn: with biases and without dropout.
        packed: as `pack_padded_sequence` gives it.

    Returns:
        the last layer's states of all steps, `(T, directions * H)`, packed as the input is; and those after the last
        step of each direction, `(directions, B, H)`, in the order before the packing's sorting.
    """
    if packed.data.device.type == "cpu" and isinstance(rnn, nn.GRU) and not rnn.bidirectional:
        return _run_gru(rnn, packed)
    outputs, states = rnn(packed)
    last = states[0] if isinstance(rnn, nn.LSTM) else states
    return outputs._replace(data=outputs.data.float()), last[-(1 + rnn.bidirectional) :].float()


def run_gru(gru: nn.GRU, packed: PackedSequence) -> Tensor:
    """Return the state of a GRU of one direction after the last step of each sequence, `(B, H)` float32."""
    return run_recurrence(gru, packed)[1][-1]


def _run_gru(gru: nn.GRU, packed: PackedSequence) -> tuple[PackedSequence, Tensor]:
    sizes = packed.batch_sizes.tolist()
    # Rows of zeros at the end make the number of words in a batch one of a few; see `_round_up`.
    outputs = functional.pad(packed.data, (0, 0, 0, -len(packed.data) % ROWS))
    for layer in range(gru.num_layers):
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(gru, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        inputs = functional.linear(outputs, weight_ih, bias_ih)
        outputs, last = _Recurrence.apply(inputs, weight_hh, bias_hh, sizes)
    states = last if packed.unsorted_indices is None else last[packed.unsorted_indices]
    return packed._replace(data=outputs[: len(packed.data)]), states[None]


class _Recurrence(torch.autograd.Function):
    """`h_t = (1 - z) n + z h_{t-1}` with `r, z = σ(a + W h + b)` and `n = tanh(a_n + r (W_n h + b_n))`.

    Products are computed in bfloat16 under autocast to it; states and gates are float32 at least.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
        """Return the states of all steps `(T, H)`, packed as the inputs `(T, 3H)` are, and the last ones `(B, H)`."""
        ctx.set_materialize_grads(False)
        ctx.dtype, ctx.sizes = inputs.dtype, sizes
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            weight = weight.to(half or weight.dtype)
            bias, inputs = bias.to(weight.dtype), inputs.to(torch.promote_types(inputs.dtype, torch.float32))
            width = weight.shape[1]
            pushed = torch.empty_like(inputs)  # r and z, and W_n h + b_n
            new, states = (inputs.new_empty(len(inputs), width) for _ in range(2))
            previous = weight.new_zeros(len(inputs), width)
            states[sum(sizes) :] = 0
            last = before = inputs.new_zeros(sizes[0], width)
            for rows, going_on in _steps(sizes):
                size = rows.stop - rows.start
                previous[rows] = before[:size]
                pushed[rows] = functional.linear(_round_up(previous, rows), weight, bias)[:size]
                gates = pushed[rows, : 2 * width].add_(inputs[rows, : 2 * width]).sigmoid_()
                reset, update, recurrent = gates[:, :width], gates[:, width:], pushed[rows, 2 * width :]
                torch.addcmul(inputs[rows, 2 * width :], reset, recurrent, out=new[rows]).tanh_()
                before = torch.lerp(new[rows], before[:size], update, out=states[rows])
                last[going_on:size] = before[going_on:]
        ctx.save_for_backward(pushed, new, previous, weight)
        return states, last

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of inputs, weight and bias."""
        pushed, new, previous, weight = ctx.saved_tensors
        of_states, of_last = gradients
        width, total = weight.shape[1], sum(ctx.sizes)
        of_inputs = torch.empty_like(pushed, dtype=ctx.dtype)
        of_pushed = torch.empty_like(pushed, dtype=weight.dtype)
        of_inputs[total:], of_pushed[total:] = 0, 0
        of_state = new[:0]
        for rows, going_on in reversed(_steps(ctx.sizes)):
            size = rows.stop - rows.start
            ended = new.new_zeros(size - going_on, width) if of_last is None else of_last[going_on:size]
            through = torch.cat([of_state, ended])
            if of_states is not None:
                through += of_states[rows]
            reset, update, recurrent = pushed[rows].split(width, dim=1)
            into_new = tanh_backward(torch.addcmul(through, through, update, value=-1), new[rows])
            of_inputs[rows, :width] = sigmoid_backward(into_new * recurrent, reset)
            of_inputs[rows, width : 2 * width] = sigmoid_backward(through * (previous[rows] - new[rows]), update)
            of_inputs[rows, 2 * width :] = into_new
            of_pushed[rows, : 2 * width] = of_inputs[rows, : 2 * width]
            of_pushed[rows, 2 * width :] = into_new * reset
            of_before = (_round_up(of_pushed, rows) @ weight)[:size]
            of_state = torch.addcmul(of_before.to(new.dtype), through, update)
        of_weight, of_bias = of_pushed.T @ previous, of_pushed.new_ones(1, len(of_pushed)) @ of_pushed
        return of_inputs, of_weight.to(new.dtype), of_bias[0].to(new.dtype), None


def _steps(sizes: list[int]) -> list[tuple[slice, int]]:
    """Return the rows of each time step, and how many of its sequences go on: the first ones."""
    starts = [0, *itertools.accumulate(sizes)]
    return list(zip(map(slice, starts[:-1], starts[1:]), [*sizes[1:], 0], strict=True))


def _round_up(tensor: Tensor, rows: slice) -> Tensor:
    """Return the rows and some that follow: in bfloat16 oneDNN compiles a kernel for each new shape, and keeps it."""
    size = rows.stop - rows.start
    return tensor[rows.start : rows.start + size + -size % SEQUENCES]
