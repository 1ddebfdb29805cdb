"""Products with one matrix of weights many times over, on the CPU."""

from __future__ import annotations

import functools
import platform
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Product = Callable[[Tensor, Tensor | None], Tensor]
"""`(x, bias) ↦ x Wᵀ + bias`."""


def prepare_product(weight: Tensor, rows: int) -> Product:
    """Return the linear map of a weight `(out, in)`, without gradients.

    oneDNN orders a weight anew for each product, which for few rows takes as long as the product itself: here it does
    so once, if torch has that operation, and oneDNN is not switched off.

    Args:
        weight: on the CPU.
        rows: the usual number of rows of `x`.
    """
    if not (torch.backends.mkldnn.enabled and _can_pack(weight.dtype)):
        return lambda inputs, bias: functional.linear(inputs, weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), rows)
    return lambda inputs, bias: torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")


@functools.cache
def _can_pack(dtype: torch.dtype) -> bool:
    """Return whether torch has its operations for weights in oneDNN's order, and the processor their instructions."""
    if platform.machine() not in ("x86_64", "AMD64") or not torch._C._has_mkldnn:
        return False
    names = ("_reorder_linear_weight", "_linear_pointwise", "_is_mkldnn_bf16_supported")
    if not all(hasattr(torch.ops.mkldnn, name) for name in names):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
