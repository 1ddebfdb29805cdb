"""`--shard I/N`: the share of a process, given or set by torchrun."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import click

from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.features.folder import Shard

option = click.option("--shard", metavar="I/N", help="Share of this process, such as 0/4; torchrun sets it by itself.")


def read_shard(text: str | None) -> Shard:
    """Return the share that an option names; without it, that of a process of torchrun, or everything.

    Raises:
        UsageError: for a text of another form, or a shard that does not exist.
    """
    from vsezoo.features.folder import Shard

    if text is None:
        return Shard(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None:
        raise UsageError(f"--shard takes I/N, not {text!r}.", remedy="Example: --shard 0/4, for the first of four.")
    return Shard(int(match[1]), int(match[2]))


def choose_device(name: str) -> Any:
    """Return the device; with torchrun and several GPUs, the GPU of this process."""
    import torch

    from vsezoo.devices import choose_device

    device = choose_device(name)
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device
