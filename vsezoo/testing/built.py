"""A model and its loss, as the checks of parts get them: copies of one, and a few steps of training of a part."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from vsezoo.interfaces import Loss
from vsezoo.model import JointEmbedding
from vsezoo.testing.kit import require

HOOKS = (dict, OrderedDict)
STEPS = 3
"""Training steps until every parameter has had a gradient: a layer may start with a scale of zero."""


class Built(NamedTuple):
    """A model and its loss."""

    model: JointEmbedding
    loss: Loss


def duplicate(built: Built, kind: str) -> Built | None:
    """Return the same with a copy of one part; None: it holds what cannot be copied.

    Args:
        built: its tokenizer and the other parts are shared.
        kind: of the part, as the recipe's field for it.
    """
    parts = {**built.model.parts, "loss": built.loss}
    shared = [built.model.recipe, built.model.tokenizer, *(part for name, part in parts.items() if name != kind)]
    copies: dict[int, Any] = {id(value): value for value in shared}
    for module in parts[kind].modules():  # each has a dozen dictionaries of hooks, whose copies take most of the time
        copies |= {id(held): type(held)() for held in vars(module).values() if type(held) in HOOKS and not held}
    try:
        return copy.deepcopy(built, copies)
    except Exception:  # of any kind: an author's part may hold anything, such as a tensor with a history
        return None


def train_part(part: nn.Module, run: Callable[[], Mapping[str, Tensor]]) -> set[str]:
    """Train a part for a few steps, and return the names of the parameters that never had a gradient.

    Args:
        part: in training mode.
        run: returns the part's outputs for the same inputs at each call.
    """
    parameters = {name: value for name, value in part.named_parameters() if value.requires_grad}
    waiting = set(parameters)
    if not parameters:
        return waiting
    optimizer = torch.optim.Adam(parameters.values(), 1e-2)
    for _ in range(STEPS):
        total = weigh(run())
        if not total.requires_grad:
            return waiting
        total.backward()  # type: ignore[no-untyped-call]
        for name, parameter in parameters.items():
            if parameter.grad is not None:
                require(bool(parameter.grad.isfinite().all()), f"the gradient of {name} is not finite")
                if parameter.grad.any():
                    waiting.discard(name)
        optimizer.step()
        optimizer.zero_grad()
    return waiting


def weigh(outputs: Mapping[str, Tensor]) -> Tensor:
    """Return a number that depends on all outputs; squares and sums would be constant for unit vectors."""
    generator = torch.Generator().manual_seed(0)
    weighted = [(output * torch.randn(output.shape, generator=generator)).sum() for output in outputs.values()]
    return torch.stack(weighted).sum()
