"""Build modules without initialising the weights, when a checkpoint supplies them."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils._pytree import tree_leaves

from vsezoo.checkpoints.budget import TensorBudget, TooLargeError

Built = TypeVar("Built", bound=nn.Module)


def build_uninitialized(
    build: Callable[[], Built],
    check: Callable[[Built], None] | None = None,
    most: float = math.inf,
    *,
    most_elements: float = math.inf,
    whole: bool = True,
) -> Built:
    """Build a module whose parameters will all be replaced: initialising them can take seconds.

    They are created on the meta device, without memory, and then filled with NaN. Buffers and everything else are as
    the constructor makes them. The state of torch's generator is preserved.

    Args:
        build: builds the module.
        check: called with the module before its parameters have memory; may raise.
        most: maximum number of parameter tensors.
        most_elements: maximum number of elements of a tensor that the constructor creates.
        whole: fill all of each parameter. False: only both ends, which `is_uninitialized` looks at; memory that is
            filled counts as used before the weights are there.

    Raises:
        TooLargeError: for a module with more parameters or larger tensors.
    """
    with torch.random.fork_rng(devices=()):
        replaced: list[weakref.ref[nn.Parameter]] = []
        try:
            with _without_memory(replaced, most), TensorBudget(most_elements):
                module = build()
        except TooLargeError:
            raise
        except Exception:  # a constructor may use its initial weights; other errors occur again here
            return build()
        if check is not None:
            check(module)
        _give_memory(module, replaced, whole)
        # A constructor may also have stored a parameter elsewhere, or computed a tensor from it that is not stored.
        if any(parameter() is not None for parameter in replaced) or any(map(_holds_meta, module.modules())):
            return build()
        return module


@contextmanager
def _without_memory(replaced: list[weakref.ref[nn.Parameter]], most: float) -> Iterator[None]:
    """Move each parameter to the meta device when it is registered in a module."""
    count = 0

    def replace(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        nonlocal count
        if parameter is None or parameter.is_meta or nn.parameter.is_lazy(parameter):
            return None
        count += 1
        if count > most:
            raise TooLargeError(
                f"describes a model of more than {most:,.0f} parameter tensors, more than its weights contain."
            )
        replaced.append(weakref.ref(parameter))
        return _copy(parameter, parameter.detach().to("meta"))

    handle = register_module_parameter_registration_hook(replace)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def is_uninitialized(tensor: Tensor) -> bool:
    """Return whether a tensor still is as `build_uninitialized` made it."""
    return tensor.numel() > 0 and bool(torch.stack(_list_ends(tensor)).isnan().any())


def _list_ends(tensor: Tensor) -> list[Tensor]:
    return [tensor[(index,) * tensor.dim()] for index in (0, -1)]


def _give_memory(module: nn.Module, replaced: list[weakref.ref[nn.Parameter]], whole: bool) -> None:
    """Replace parameters on the meta device by NaN; one that several modules share stays shared."""
    made: dict[int, nn.Parameter] = {}
    for inner in module.modules():
        for name, parameter in list(inner._parameters.items()):
            if parameter is None or not parameter.is_meta:
                continue
            if id(parameter) not in made:
                replaced.append(weakref.ref(parameter))
                floats = parameter.is_floating_point() or parameter.is_complex()
                # Unlike full_like of a tensor on the meta device, this imports nothing of torch's compiler. The strides
                # stay: convolutions in channels_last round differently.
                empty = torch.empty_strided(parameter.shape, parameter.stride(), dtype=parameter.dtype)
                for part in _list_ends(empty) if floats and not whole and empty.numel() else [empty]:
                    part.fill_(math.nan if floats else 0)
                made[id(parameter)] = _copy(parameter, empty)
            setattr(inner, name, made[id(parameter)])  # recurrent layers also have a list of them


def _copy(parameter: nn.Parameter, data: Tensor) -> nn.Parameter:
    copy = nn.Parameter(data, requires_grad=parameter.requires_grad)
    vars(copy).update(vars(parameter))
    return copy


def _holds_meta(module: nn.Module) -> bool:
    """Return whether a tensor of a module, but not of those in it, is on the meta device."""
    held = [value for name, value in vars(module).items() if name != "_modules" and _may_hold(value)]
    return any(isinstance(leaf, Tensor) and leaf.is_meta for leaf in tree_leaves(held))


def _may_hold(value: Any) -> bool:
    """Return whether a value is a tensor, or a collection that is not empty: most are neither."""
    return isinstance(value, Tensor) or (isinstance(value, dict | list | tuple | deque) and len(value) > 0)
