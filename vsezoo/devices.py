"""The device that a command computes on, and the precision that is faster there."""

from __future__ import annotations

import torch

from vsezoo.errors import UsageError, first_line

SLOW_BF16 = "this CPU has no bf16 instructions: {what} in fp32, which is faster here."
"""What is reported to a user who asked for bf16 where fp32 is used instead."""


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` uses a GPU if there is one.

    Raises:
        UsageError: for a device that this machine or this torch does not have.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        problem = f"the device {name!r} cannot be used: {first_line(error)}."
        raise UsageError(problem, remedy="Try --device cpu.") from error
    return device


def choose_precision(precision: str, device: torch.device) -> str:
    """Return `precision`, or `fp32` for `bf16` on a CPU that has no instructions for it.

    Such a CPU converts each number there and back, so that a product takes longer than in float32.
    """
    slow = precision == "bf16" and device.type == "cpu" and not has_bf16_instructions()
    return "fp32" if slow else precision


def has_bf16_instructions() -> bool:
    """Return whether this CPU has instructions for products in bfloat16; False where torch cannot tell."""
    if hasattr(torch.cpu, "get_capabilities"):
        found = torch.cpu.get_capabilities()
        return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "sve_bf16"))
    older = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # of x86
    return any(getattr(torch.cpu, name, bool)() for name in older)
