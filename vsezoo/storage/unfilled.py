"""Modules without memory, on torch's device `meta`: to count their parameters, or to see which shapes they give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

FILLS = ("constant_", "fill_", "kaiming_uniform_", "normal_", "uniform_", "zero_")
"""Functions that only change the values of the tensor that they return, which comes first."""


class Unfilled(TorchFunctionMode):
    """Leaves tensors without memory alone: to fill them, torch would import its compiler, which takes seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function, but for those that fill a tensor without memory."""
        given = [*args, *(kwargs or {}).values()]
        if getattr(func, "__name__", "") in FILLS and isinstance(given[0], Tensor) and given[0].is_meta:
            return given[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def without_memory() -> Iterator[None]:
    """Create tensors on the device `meta`, and do not fill them."""
    with torch.device("meta"), Unfilled():
        yield
