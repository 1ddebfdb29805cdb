"""All steps of one layer of a GRU or an LSTM in one direction, over the distinct beginnings of sequences, on the CPU.

The recurrent product of a state is computed once, however many beginnings continue it.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from vsezoo.encoders.cells import Cell, Step
from vsezoo.encoders.prefixes import Prefixes
from vsezoo.encoders.products import prepare_product

ROWS = 128  # the rows of a product over all steps are padded to a multiple of this, see `count_padded`
SEQUENCES = 8  # those of a product of one step to a multiple of this

embedding_backward = torch.ops.aten.embedding_dense_backward


def count_padded(rows: int) -> int:
    """Return the rows of a product over all steps: in bfloat16, oneDNN compiles kernels for each shape."""
    return rows + -rows % ROWS if torch.is_autocast_enabled("cpu") else rows


class RecurrentSteps(torch.autograd.Function):
    """The states after all beginnings, and their gradients.

    Products are computed in bfloat16 under autocast to it; states and gates are float32 at least.
    """

    @staticmethod
    def forward(
        ctx: Any,
        cell: type[Cell],
        prefixes: Prefixes,
        inputs: Tensor,
        chosen: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        wanted: Tensor | None,
        keep: bool,
    ) -> Tensor:
        """Return the states of all steps `(N, H)`, and one or more rows of zeros; or those that are wanted.

        Args:
            ctx: torch's context.
            cell: the formulas of the network.
            prefixes: N beginnings.
            inputs: `W x + b` of the items `(U, gates * H)`, and rows that are padding.
            chosen: the item of each state, `(N,)`; None for items in the order of the states.
            weight: recurrent weight.
            bias: recurrent bias.
            wanted: the states to return, `(B,)`; None for all.
            keep: keep what `backward` needs; then all states are wanted.
        """
        ctx.cell, ctx.prefixes, ctx.chosen, ctx.items, ctx.dtype = cell, prefixes, chosen, len(inputs), inputs.dtype
        slices, pushes, continued = _cut(prefixes.sizes), _cut_pushes(prefixes), prefixes.continued
        count = slices[-1].stop
        returned = count_padded(count + 1) if wanted is None else len(wanted)
        multiplied = count_padded(pushes[-1].stop) if keep else max(map(len, continued)) + SEQUENCES
        half = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu")
        with torch.autocast("cpu", enabled=False):
            weight = weight.to(half or weight.dtype)
            bias, inputs = bias.to(weight.dtype), inputs.to(torch.promote_types(inputs.dtype, torch.float32))
            push = prepare_product(weight, max(prefixes.sizes))
            width = weight.shape[1]
            states, previous = inputs.new_empty(returned, width), weight.new_zeros(multiplied, width)
            states[count:] = 0
            state = before = inputs.new_zeros(1, width)
            taken: list[Tensor] = []
            for level, rows in enumerate(slices):
                state = state.index_select(0, continued[level])
                here = pushes[level] if keep else slice(0, len(state))
                previous[here] = state
                pushed = push(_round_up(previous, here), bias)[: len(state)].to(inputs.dtype)
                state, pushed = (_spread(tensor, prefixes.parents[level]) for tensor in (state, pushed))
                if cell.remembers:
                    before = _spread(before.index_select(0, continued[level]), prefixes.parents[level])
                step = Step(state, before, pushed, torch.empty_like(state))
                read = inputs[rows] if chosen is None else inputs.index_select(0, chosen[rows])
                new = states[rows] if wanted is None else torch.empty_like(state)
                cell.advance(step, read, new)
                if wanted is not None:
                    found = (wanted >= rows.start) & (wanted < rows.stop)
                    states[found] = new[wanted[found] - rows.start]
                state, before = new, step.kept
                taken += (step.pushed, step.kept) if keep else ()
        if keep:
            ctx.save_for_backward(previous, weight, *taken)
        return states

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of inputs, weight and bias."""
        previous, weight, *taken = ctx.saved_tensors
        cell, prefixes, pushed, kept, (of_all,) = ctx.cell, ctx.prefixes, taken[::2], taken[1::2], gradients
        slices, pushes = _cut(prefixes.sizes), _cut_pushes(prefixes)
        of_inputs = of_all.new_empty(ctx.items if ctx.chosen is None else len(ctx.chosen), len(weight))
        of_pushes = weight.new_empty(len(previous), len(weight))
        of_inputs[slices[-1].stop :], of_pushes[pushes[-1].stop :] = 0, 0
        of_states, of_kept = of_all[slices[-1]].clone(), torch.zeros_like(kept[-1])
        levels = list(enumerate(zip(slices, pushes, prefixes.continued, prefixes.parents, strict=True)))
        for level, (rows, here, continued, parents) in reversed(levels):
            before = kept[level][:0]
            if cell.remembers:
                last = kept[level - 1] if level else torch.zeros_like(kept[0][:1])
                before = _spread(last.index_select(0, continued), parents)
            step = Step(_spread(previous[here], parents), before, pushed[level], kept[level])
            of_pushed = of_pushes[here] if parents is None else torch.empty_like(pushed[level])
            of_state, of_before = cell.retreat(step, of_states, of_kept, of_inputs[rows], of_pushed)
            if parents is not None:
                of_pushes[here] = _gather(of_pushed, parents, len(continued))
            if level:
                of_state = _gather(of_state, parents, len(continued))
                of_state = of_state + (_round_up(of_pushes, here) @ weight)[: len(continued)]
                of_states = of_all[slices[level - 1]].index_add(0, continued, of_state)
            if level and cell.remembers:
                of_before = _gather(of_before, parents, len(continued))
                of_kept = torch.zeros_like(of_states).index_add_(0, continued, of_before)
        of_weight, of_bias = of_pushes.T @ previous, of_pushes.new_ones(1, len(of_pushes)) @ of_pushes
        if ctx.chosen is not None:
            of_inputs = _gather(of_inputs, ctx.chosen, ctx.items)
        of_weight, of_bias = of_weight.to(of_all.dtype), of_bias[0].to(of_all.dtype)
        return None, None, of_inputs.to(ctx.dtype), None, of_weight, of_bias, None, None


def _cut(sizes: list[int]) -> list[slice]:
    """Return the rows of each step."""
    starts = [0, *itertools.accumulate(sizes)]
    return list(map(slice, starts[:-1], starts[1:]))


def _cut_pushes(prefixes: Prefixes) -> list[slice]:
    """Return the rows of the recurrent products of each step."""
    return _cut(list(map(len, prefixes.continued)))


def _spread(values: Tensor, parents: Tensor | None) -> Tensor:
    """Return the rows of states that are continued for each state that continues them."""
    return values if parents is None else values.index_select(0, parents)


def _gather(values: Tensor, parents: Tensor | None, count: int) -> Tensor:
    """Return the sums of the rows that `_spread` took from each of the rows; faster than `index_add`."""
    total: Tensor = values if parents is None else embedding_backward(values, parents, count, -1, False)
    return total


def _round_up(tensor: Tensor, rows: slice) -> Tensor:
    """Return the rows and some that follow, for the reason of `count_padded`."""
    size = rows.stop - rows.start
    return tensor[rows.start : rows.start + size + -size % SEQUENCES]
