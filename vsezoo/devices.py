"""The device that a command computes on."""

from __future__ import annotations

import torch

from vsezoo.errors import UsageError, first_line


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
