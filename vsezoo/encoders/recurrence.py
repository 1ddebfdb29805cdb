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

sigmoid_backward, tanh_backward = torch.ops.aten.sigmoid_backward, torch.ops.aten.tanh_backward


def run_gru(gru: nn.GRU, packed: PackedSequence) -> Tensor:
    """Return the last layer's state after the last step of each sequence, `(B, hidden_size)` float32.

    Args:
        gru: one direction, with biases and without dropout.
        packed: as `pack_padded_sequence` gives it; states come back in the order before its sorting.
    """
    if packed.data.device.type != "cpu":
        states: Tensor = gru(packed)[1]
        return states[-1].float()
    sizes = packed.batch_sizes
    outputs = packed.data
    for layer in range(gru.num_layers):
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(gru, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        outputs = _Recurrence.apply(functional.linear(outputs, weight_ih, bias_ih), weight_hh, bias_hh, sizes.tolist())
    # A sequence of length l ends in step l - 1, at its place among the sequences that are still going on.
    starts = functional.pad(sizes.cumsum(0), (1, 0))
    places = torch.arange(int(sizes[0]))
    lengths = (sizes[:, None] > places).sum(dim=0)
    last = outputs[starts[lengths - 1] + places]
    return last if packed.unsorted_indices is None else last[packed.unsorted_indices]


class _Recurrence(torch.autograd.Function):
    """`h_t = (1 - z) n + z h_{t-1}` with `r, z = σ(a + W h + b)` and `n = tanh(a_n + r (W_n h + b_n))`.

    Products are computed in bfloat16 under autocast to it; states and gates are float32 at least.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]) -> Tensor:
        """Return the states of all steps `(T, H)`, packed as the inputs `(T, 3H)` are."""
        ctx.dtype = inputs.dtype
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            weight = weight.to(half or weight.dtype)
            bias, inputs = bias.to(weight.dtype), inputs.to(torch.promote_types(inputs.dtype, torch.float32))
            width = weight.shape[1]
            pushed = torch.empty_like(inputs)  # r and z, and W_n h + b_n
            new, states = (inputs.new_empty(len(inputs), width) for _ in range(2))
            before = inputs.new_zeros(sizes[0], width)
            for rows, _ in _steps(sizes):
                before = before[: rows.stop - rows.start]
                pushed[rows] = functional.linear(before.to(weight.dtype), weight, bias)
                gates = pushed[rows, : 2 * width].add_(inputs[rows, : 2 * width]).sigmoid_()
                reset, update, recurrent = gates[:, :width], gates[:, width:], pushed[rows, 2 * width :]
                torch.addcmul(inputs[rows, 2 * width :], reset, recurrent, out=new[rows]).tanh_()
                before = torch.lerp(new[rows], before, update, out=states[rows])
        ctx.save_for_backward(pushed, new, states, weight)
        ctx.sizes = sizes
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of inputs, weight and bias."""
        pushed, new, states, weight = ctx.saved_tensors
        sizes, width = ctx.sizes, weight.shape[1]
        of_inputs = torch.empty_like(pushed, dtype=ctx.dtype)
        of_pushed = torch.empty_like(pushed, dtype=weight.dtype)
        previous = torch.zeros_like(states, dtype=weight.dtype)
        of_state = states[:0]
        for rows, before in reversed(_steps(sizes)):
            change = -new[rows]
            if before is not None:
                previous[rows] = states[before]
                change += states[before]
            through = gradients[0][rows].clone()
            through[: len(of_state)] += of_state
            reset, update, recurrent = pushed[rows].split(width, dim=1)
            into_new = tanh_backward(torch.addcmul(through, through, update, value=-1), new[rows])
            of_inputs[rows, :width] = sigmoid_backward(into_new * recurrent, reset)
            of_inputs[rows, width : 2 * width] = sigmoid_backward(through * change, update)
            of_inputs[rows, 2 * width :] = into_new
            of_pushed[rows, : 2 * width] = of_inputs[rows, : 2 * width]
            of_pushed[rows, 2 * width :] = into_new * reset
            of_state = torch.addcmul((of_pushed[rows] @ weight).to(states.dtype), through, update)
        of_weight = of_pushed.T @ previous
        return of_inputs, of_weight.to(states.dtype), of_pushed.sum(dim=0, dtype=states.dtype), None


def _steps(sizes: list[int]) -> list[tuple[slice, slice | None]]:
    """Return the rows of each time step, and those of the same sequences in the step before."""
    starts = [0, *itertools.accumulate(sizes)]
    steps: list[tuple[slice, slice | None]] = [(slice(0, sizes[0]), None)]
    for step in range(1, len(sizes)):
        before = slice(starts[step - 1], starts[step - 1] + sizes[step])
        steps.append((slice(starts[step], starts[step + 1]), before))
    return steps
