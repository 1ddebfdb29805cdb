"""The device that a command computes on."""

from __future__ import annotations

import torch

from vsezoo.errors import UsageError


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
        reason = str(error).splitlines()[0]
        raise UsageError(f"the device {name!r} cannot be used: {reason}", remedy="Try --device cpu.") from error
    return device
