"""The inputs of a part before and after a call."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
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


def _name_tensors(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a value, which may be a batch, with the names that lead to them."""
    if isinstance(value, Tensor):
        yield name, value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _name_tensors(f"{name}.{field.name}", getattr(value, field.name))
