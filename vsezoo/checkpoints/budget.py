"""How much a constructor may create before it is compared with the weights: sizes in a `config.json` are untrusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor

from vsezoo.errors import VsezooError
from vsezoo.storage.unfilled import Unfilled

SPARE_ELEMENTS = 2**26
"""Elements of tensors that are not stored, such as positions and masks: 256 MiB of float32."""
SHAPED = ("empty", "empty_strided", "eye", "full", "ones", "rand", "randint", "randn", "zeros")
"""Functions that create a tensor of a shape; those of tensors are `new_empty`, …"""
COUNTED = ("arange", "linspace", "randperm")
"""Functions that create as many numbers as one of their arguments says."""


class TooLargeError(VsezooError):
    """A module that asks for more parameters or larger tensors than its weights allow."""


class TensorBudget(Unfilled):
    """Refuses to create a tensor of more than so many elements, before it takes memory.

    It looks at the functions of torch, not at its operators: for a mode of those, torch imports its compiler, which
    takes seconds and 150 MB.

    Args:
        most: number of elements.
    """

    def __init__(self, most: float) -> None:
        super().__init__()
        self.most = most

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Look at the sizes that functions such as `empty`, `zeros` and `randn` get, then call them."""
        name = getattr(func, "__name__", "").removeprefix("new_")
        given = [*args, *(kwargs or {}).values()]
        if name in SHAPED:
            size = _find_size(given)
            if math.prod(size) > self.most:
                raise TooLargeError(f"describes a tensor of shape {size}, which is larger than all of its weights.")
        elif name in COUNTED:
            count = max((value for value in given if isinstance(value, int | float)), default=0)
            if count > self.most:
                raise TooLargeError(f"describes a tensor of {count:,} numbers, more than all of its weights.")
        return super().__torch_function__(func, types, args, kwargs)


def _find_size(given: Iterable[Any]) -> tuple[int, ...]:
    """Return the size among the arguments of a function: its first sequence, or all numbers before anything else."""
    numbers: list[int] = []
    for value in given:
        if isinstance(value, tuple | list):
            return tuple(value)
        if isinstance(value, int) and not isinstance(value, bool):
            numbers.append(value)
        elif not isinstance(value, Tensor):  # of the methods, the tensor itself comes first
            break
    return tuple(numbers)
