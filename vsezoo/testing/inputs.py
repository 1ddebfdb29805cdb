"""The inputs of a part before and after a call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor, nn


@contextmanager
def record_inputs(part: nn.Module) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Return each tensor that the part is called with, and a copy of it from before the call.

    Args:
        part: called inside the block.

    Returns:
        by the name of the argument and, in a batch, of the field; filled when the block ends.
    """
    given: dict[str, tuple[Tensor, Tensor]] = {}
    names = list(inspect.signature(part.forward).parameters)

    def keep(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        for name, value in zip(names, inputs, strict=False):
            given.update((path, (tensor, tensor.clone())) for path, tensor in _name_tensors(name, value))

    handle = part.register_forward_pre_hook(keep)
    try:
        yield given
    finally:
        handle.remove()


@contextmanager
def record_call(part: nn.Module) -> Iterator[list[Any]]:
    """Return the arguments that the part is called with, once the block has ended.

    Args:
        part: called inside the block.
    """
    given: list[Any] = []
    handle = part.register_forward_pre_hook(lambda module, inputs: given.extend(inputs))
    try:
        yield given
    finally:
        handle.remove()


def drop_values(values: Sequence[Any]) -> list[Any]:
    """Return tensors, or batches of them, with their shapes but without their values: on torch's device `meta`."""
    return [
        value.to("meta")
        if isinstance(value, Tensor)
        else replace(value, **{field.name: drop_values([getattr(value, field.name)])[0] for field in fields(value)})
        if is_dataclass(value) and not isinstance(value, type)
        else value
        for value in values
    ]


def _name_tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a value, which may be a batch, with the names that lead to them."""
    if isinstance(value, Tensor):
        yield name, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _name_tensors(f"{name}.{field.name}", getattr(value, field.name))
