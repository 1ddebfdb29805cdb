"""Tensors of modules as safetensors files have them, put back only where they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vsezoo.errors import CheckpointError, list_names


def list_tensors(module: nn.Module, external: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """Return the tensors of a module as they are stored, without those whose names begin with `external`."""
    return {
        name: tensor.contiguous()
        for name, tensor in module.state_dict().items()
        if not (external and name.startswith(external))
    }


def load_tensors(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], file: Path, external: tuple[str, ...] = ()
) -> None:
    """Put tensors into a module; every name, every shape and the kind of number must agree.

    Args:
        module: what is to have them.
        tensors: by name.
        file: where they are from, for the message.
        external: prefixes of the names of tensors that are none of them, and stay as they are.

    Raises:
        CheckpointError: for tensors that do not agree.
    """
    require_same(tensors, list_tensors(module, external), file)
    module.load_state_dict(dict(tensors), strict=not external)


def require_same(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], file: Path) -> None:
    """Compare names, shapes and kinds of number; `expected` may be on the meta device.

    Raises:
        CheckpointError: for tensors that do not agree.
    """
    remedy = "The file does not belong to this recipe; fetch or copy the checkpoint folder again."
    for words, names in (("lacks", expected.keys() - tensors.keys()), ("has the extra", tensors.keys() - expected)):
        if names:
            listing = list_names(sorted(names), 5)
            raise CheckpointError(f"{words} tensor{'s' * (len(names) > 1)} {listing}.", file=file, remedy=remedy)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"has the tensor {name} of shape {tuple(tensor.shape)} where the recipe and the vocabulary want "
                f"{tuple(expected[name].shape)}.",
                file=file,
                remedy=remedy,
            )
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise CheckpointError(
                f"has the tensor {name} of {tensor.dtype} where the model has {expected[name].dtype}.",
                file=file,
                remedy=remedy,
            )
