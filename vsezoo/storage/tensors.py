"""Tensors of modules for safetensors files, loaded only if they fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from vsezoo.errors import CheckpointError, list_names


def list_tensors(module: nn.Module, external: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
    """Return the tensors of a module to store, without those whose names begin with `external`."""
    return {
        name: tensor.contiguous()
        for name, tensor in module.state_dict().items()
        if not (external and name.startswith(external))
    }


def rename_prefixes(tensors: Mapping[str, torch.Tensor], prefixes: Mapping[str, str]) -> dict[str, torch.Tensor]:
    """Return tensors with the first matching prefix of each name replaced; other names stay as they are."""

    def rename(name: str) -> str:
        start = next((start for start in prefixes if name.startswith(start)), "")
        return prefixes.get(start, "") + name.removeprefix(start)

    return {rename(name): tensor for name, tensor in tensors.items()}


def write_tensors(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Write a safetensors file. Tensors that share memory, such as tied weights, are stored once for each name.

    Raises:
        OSError, SafetensorError: if it cannot be written.
    """
    separate, taken = dict(tensors), set[int]()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        if tensor.numel() and memory in taken:
            separate[name] = tensor.clone()
        taken.add(memory)
    save_file(separate, file)


def load_tensors(
    module: nn.Module, tensors: Mapping[str, torch.Tensor], file: Path, external: tuple[str, ...] = ()
) -> None:
    """Load tensors into a module; all names, shapes and dtypes must agree.

    Args:
        module: the module.
        tensors: the tensors by name.
        file: their file, for the message.
        external: name prefixes of tensors that are not in the file and are not changed.

    Raises:
        CheckpointError: for tensors that do not agree.
    """
    require_same(tensors, list_tensors(module, external), file)
    module.load_state_dict(dict(tensors), strict=not external)


def require_same(tensors: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], file: Path) -> None:
    """Compare names, shapes and dtypes; `expected` may be on the meta device.

    Raises:
        CheckpointError: for tensors that do not agree.
    """
    remedy = "The file does not belong to this recipe; download or copy the checkpoint folder again."
    for words, names in (("lacks", expected.keys() - tensors.keys()), ("has the extra", tensors.keys() - expected)):
        if names:
            listing = list_names(sorted(names), 5)
            raise CheckpointError(f"{words} tensor{'s' * (len(names) > 1)} {listing}.", file=file, remedy=remedy)
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"has the tensor {name} of shape {tuple(tensor.shape)} where the recipe and the vocabulary require "
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


def require_finite(tensors: Mapping[str, torch.Tensor], file: Path) -> None:
    """Raise CheckpointError for tensors with numbers that are NaN or infinite.

    Args:
        tensors: the tensors by name.
        file: their file, for the message.
    """
    # A finite sum, the cheap test, excludes both.
    bad = [name for name, tensor in tensors.items() if not tensor.sum().isfinite() and not tensor.isfinite().all()]
    if bad:
        raise CheckpointError(
            f"has numbers that are NaN or infinite in the tensor{'s' * (len(bad) > 1)} {list_names(sorted(bad), 3)}.",
            file=file,
            remedy="The weights are damaged, or come from a training run that diverged: get them again, or use others.",
        )
