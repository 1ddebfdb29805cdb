"""The formulas of one step of `torch.nn.GRU` and of `torch.nn.LSTM`, forwards and backwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input
tanh_backward = torch.ops.aten.tanh_backward.grad_input


class Step(NamedTuple):
    """Inputs and outputs of one step of a layer, each `(sequences, H)` or `(sequences, gates * H)`."""

    state: Tensor  # h, the previous state
    before: Tensor  # `kept` of the previous step
    pushed: Tensor  # W h + b; `advance` replaces it by what `retreat` needs
    kept: Tensor  # filled by `advance`


class Cell(ABC):
    """The formulas of one step.

    Attributes:
        remembers: whether `kept` is needed by the next step; else it is no part of `before`, nor of gradients.
    """

    remembers: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def advance(step: Step, inputs: Tensor, states: Tensor) -> None:
        """Fill `states` from the inputs `W x + b`."""

    @staticmethod
    @abstractmethod
    def retreat(
        step: Step, of_states: Tensor, of_kept: Tensor, of_inputs: Tensor, of_pushed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fill the gradients of inputs and pushed from those of the states, which may be modified, and of `kept`.

        `of_inputs` has the type of the states, since intermediate results are kept there.

        Returns the gradients of `state`, but for that through `pushed`, and of `before`.
        """


class GRUCell(Cell):
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
    def retreat(
        step: Step, of_states: Tensor, of_kept: Tensor, of_inputs: Tensor, of_pushed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fill the gradients."""
        width = of_states.shape[1]
        reset, update, recurrent = step.pushed.chunk(3, dim=1)
        of_reset, of_update, of_new = of_inputs.chunk(3, dim=1)
        torch.addcmul(of_states, of_states, update, value=-1, out=of_new)
        tanh_backward(of_new, step.kept, grad_input=of_new)
        sigmoid_backward(torch.mul(of_new, recurrent, out=of_reset), reset, grad_input=of_reset)
        torch.sub(step.state, step.kept, out=of_update).mul_(of_states)
        sigmoid_backward(of_update, update, grad_input=of_update)
        of_pushed[:, : 2 * width] = of_inputs[:, : 2 * width]
        torch.mul(of_new, reset, out=of_pushed[:, 2 * width :])
        return of_states.mul_(update), of_kept


class LSTMCell(Cell):
    """`h' = o tanh(c')`, `c' = f c + i g` with `i, f, o = σ(a + W h + b)`, `g = tanh(a_g + W_g h + b_g)`; keeps c'."""

    remembers = True

    @staticmethod
    def advance(step: Step, inputs: Tensor, states: Tensor) -> None:
        """Fill `states`."""
        enter, forget, new, leave = step.pushed.add_(inputs).chunk(4, dim=1)
        for gate in (enter, forget, leave):
            gate.sigmoid_()
        torch.mul(forget, step.before, out=step.kept).addcmul_(enter, new.tanh_())
        torch.tanh(step.kept, out=states).mul_(leave)

    @staticmethod
    def retreat(
        step: Step, of_states: Tensor, of_kept: Tensor, of_inputs: Tensor, of_pushed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fill the gradients."""
        enter, forget, new, leave = step.pushed.chunk(4, dim=1)
        shown = step.kept.tanh()
        of_shown = of_states * leave
        of_kept = of_kept + tanh_backward(of_shown, shown, grad_input=of_shown)
        of_enter, of_forget, of_new, of_leave = of_inputs.chunk(4, dim=1)
        sigmoid_backward(of_kept * new, enter, grad_input=of_enter)
        sigmoid_backward(of_kept * step.before, forget, grad_input=of_forget)
        tanh_backward(of_kept * enter, new, grad_input=of_new)
        sigmoid_backward(of_states * shown, leave, grad_input=of_leave)
        of_pushed.copy_(of_inputs)
        return torch.zeros_like(of_states), of_kept * forget
