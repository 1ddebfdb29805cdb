"""Modules that are built to be loaded: without drawing the weights that a checkpoint brings."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.utils._pytree import tree_leaves

from vsezoo.errors import VsezooError

Built = TypeVar("Built", bound=nn.Module)


class TooManyParametersError(VsezooError):
    """A module that asks for more parameters than it may have, whatever the reason."""


def build_uninitialized(
    build: Callable[[], Built], check: Callable[[Built], None] | None = None, most: float = math.inf
) -> Built:
    """Build a module whose parameters are all to be replaced, as those of a checkpoint: drawing them can take seconds.

    They are made on the meta device, that is without memory, and then filled with NaN. Buffers and all else are as the
    constructor makes them. torch's generator is left as it was.

    Args:
        build: makes the module.
        check: is called with the module whose parameters have no memory yet, and may refuse it.
        most: parameters (by name, not numbers) that it may have.

    Raises:
        TooManyParametersError: for a module with more parameters.
    """
    with torch.random.fork_rng(devices=()):
        replaced: list[weakref.ref[nn.Parameter]] = []
        try:
            with _without_memory(replaced, most):
                module = build()
        except TooManyParametersError:
            raise
        except Exception:  # a constructor may look at what it draws; other errors come again here
            return build()
        if check is not None:
            check(module)
        _give_memory(module, replaced)
        # A constructor may have put a parameter elsewhere, too, or have made a tensor of it that is not stored.
        if any(parameter() is not None for parameter in replaced) or any(map(_holds_meta, module.modules())):
            return build()
        return module


@contextmanager
def _without_memory(replaced: list[weakref.ref[nn.Parameter]], most: float) -> Iterator[None]:
    """Put each parameter on the meta device as it becomes one of a module."""
    count = 0

    def replace(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        nonlocal count
        if parameter is None or parameter.is_meta or nn.parameter.is_lazy(parameter):
            return None
        count += 1
        if count > most:
            raise TooManyParametersError(
                f"describes a model of more than {most:,.0f} parameter tensors, which its weights are not."
            )
        replaced.append(weakref.ref(parameter))
        return _copy(parameter, parameter.detach().to("meta"))

    handle = register_module_parameter_registration_hook(replace)  # type: ignore[arg-type]
    try:
        yield
    finally:
        handle.remove()


def _give_memory(module: nn.Module, replaced: list[weakref.ref[nn.Parameter]]) -> None:
    """Replace parameters on the meta device by NaN; one that several modules share stays shared."""
    made: dict[int, nn.Parameter] = {}
    for inner in module.modules():
        for name, parameter in list(inner._parameters.items()):
            if parameter is None or not parameter.is_meta:
                continue
            if id(parameter) not in made:
                replaced.append(weakref.ref(parameter))
                mark = math.nan if parameter.is_floating_point() or parameter.is_complex() else 0
                made[id(parameter)] = _copy(parameter, torch.full_like(parameter, mark, device="cpu"))
            setattr(inner, name, made[id(parameter)])  # recurrent layers have a list of them, too


def _copy(parameter: nn.Parameter, data: Tensor) -> nn.Parameter:
    copy = nn.Parameter(data, requires_grad=parameter.requires_grad)
    vars(copy).update(vars(parameter))
    return copy


def _holds_meta(module: nn.Module) -> bool:
    return any(isinstance(value, Tensor) and value.is_meta for value in tree_leaves(vars(module)))
