"""Modules that are built to be loaded: without drawing the weights that a checkpoint brings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

Built = TypeVar("Built", bound=nn.Module)

DRAWS = ("normal_", "uniform_", "kaiming_uniform_")
"""Methods of tensors, and functions of `torch.nn.init` that come to a mode whole, perhaps wrapped by transformers."""


def build_uninitialized(build: Callable[[], Built]) -> Built:
    """Build a module whose tensors are all to be replaced, as those of a checkpoint: drawing them can take seconds.

    What would be drawn is NaN. What `state_dict` does not have, and nothing replaces, is as it should be. torch's
    generator is left as it was.
    """
    with torch.random.fork_rng(devices=()):
        # A constructor may look at what it draws, and fail: its errors come again below.
        with suppress(Exception), _WithoutRandomInit() as mode:
            module = build()
            if not mode.is_kept_by(module):
                return module
        return build()


class _WithoutRandomInit(TorchFunctionMode):
    """Fills tensors with NaN in place of random numbers: whatever is made of them is NaN, too.

    What cannot be NaN, such as a mask of those below 0.5, is noted, with all that is made of it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._noted: dict[int, Tensor] = {}  # by their place in memory, which is theirs as long as they are held here

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(func, "__name__", "") in DRAWS and given.get("generator") is None:
            with torch.no_grad():
                return (args[0] if args else given["tensor"]).fill_(math.nan)
        if func is torch.linalg.qr and args[0].isnan().any():  # for orthogonal matrices; takes longer than all draws
            return args[0], args[0]
        result = func(*args, **given)
        if isinstance(result, Tensor) and result.numel():
            inputs = [value for value in tree_leaves((args, given)) if isinstance(value, Tensor)]
            if any(value.data_ptr() in self._noted for value in inputs) or (
                not result.is_floating_point() and any(bool(value.isnan().any()) for value in inputs)
            ):
                self._noted[result.data_ptr()] = result
        return result

    def is_kept_by(self, module: nn.Module) -> bool:
        """Tell whether a module has tensors that hang on random numbers and are not in its `state_dict`."""
        stored = {tensor.data_ptr() for tensor in module.state_dict().values()}
        held = [value for inner in module.modules() for value in tree_leaves(vars(inner)) if isinstance(value, Tensor)]
        aside = [tensor for tensor in held if tensor.data_ptr() not in stored]
        return any(tensor.data_ptr() in self._noted or bool(tensor.isnan().any()) for tensor in aside)
