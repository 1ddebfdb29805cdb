"""Low-rank adapters of a frozen tower (Hu et al. 2022, arXiv 2106.09685), by peft.

Every linear layer `W x + b` becomes `W x + b + s B A x`, where A has few rows, B few columns, and B begins as zeros.
peft puts a layer of its own in the place of each. To checkpoints, digests and converters the tower looks as before:
its tensors have the names of its source, and those of the adapters are stored next to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from vsezoo.errors import RecipeError, require_package

NAME = "default"
"""What peft calls the only adapter of a layer."""
BASE, ADAPTER = ".base_layer.", ".lora_"
"""What is in the names that peft gives to the tensors of a layer, and to those of its adapter."""


def add_adapters(tower: nn.Module, rank: int, scale: float) -> nn.ModuleDict:
    """Give every linear layer of a tower an adapter, and have only adapters receive gradients.

    Linear layers inside `torch.nn.MultiheadAttention`, which does not call them, are left as they are.

    Args:
        tower: the tower; changed.
        rank: rows of A and columns of B.
        scale: s.

    Returns:
        the adapters of the layers, by their names in the tower with `/` for the dots.

    Raises:
        RecipeError: for a tower without linear layers.
        MissingPackageError: if peft is not installed.
    """
    peft: Any = require_package("peft", "low-rank adapters (adapter_rank)")
    names = list(_list_linear(tower))
    if not names:
        raise RecipeError(
            "a low-rank adapter belongs to a linear layer, and this tower has none.",
            remedy="Set adapter_rank=0; finetune=true trains the whole tower, head=linear a layer behind it.",
        )
    pattern = "|".join(map(re.escape, names))
    config = peft.LoraConfig(r=rank, lora_alpha=rank * scale, target_modules=pattern)
    peft.inject_adapter_in_model(config, tower, NAME)
    hooked: Any = tower  # torch does not annotate these
    hooked.register_state_dict_post_hook(_hide_adapters)
    hooked.register_load_state_dict_pre_hook(_rename_layers)
    hooked.register_load_state_dict_post_hook(_expect_no_adapters)
    layers = {name: tower.get_submodule(name) for name in names}
    return nn.ModuleDict({name.replace(".", "/"): _take_adapter(layer) for name, layer in layers.items()})


def merge_adapters(tower: nn.Module) -> dict[str, Tensor]:
    """Return the tensors of a tower with its adapters, if it has any, added to the weights."""
    tensors: dict[str, Tensor] = dict(tower.state_dict())
    for name, layer in tower.named_modules():
        if hasattr(layer, "get_delta_weight"):
            tensors[f"{name}.weight"] = tensors[f"{name}.weight"] + layer.get_delta_weight(NAME).detach()
    return tensors


def _list_linear(module: nn.Module, prefix: str = "") -> Iterator[str]:
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            yield prefix + name
        elif not isinstance(child, nn.MultiheadAttention):
            yield from _list_linear(child, f"{prefix}{name}.")


def _take_adapter(layer: Any) -> nn.ModuleDict:
    return nn.ModuleDict({"a": layer.lora_A[NAME], "b": layer.lora_B[NAME]})


def _hide_adapters(tower: nn.Module, tensors: dict[str, Any], prefix: str, metadata: Any) -> None:
    """Give the tensors of a tower in a state dict the names that they have without adapters, in the same order."""
    kept = [(name, tensors.pop(name)) for name in list(tensors)]
    for name, tensor in kept:
        own = name.startswith(prefix)
        if not own or ADAPTER not in name:
            tensors[name.replace(BASE, ".") if own else name] = tensor


def _rename_layers(tower: nn.Module, tensors: dict[str, Any], prefix: str, *more: Any) -> None:
    """Give the tensors of a state dict the names that peft wants."""
    for name, layer in tower.named_modules():
        for tensor in ("weight", "bias") if hasattr(layer, "get_delta_weight") else ():
            if f"{prefix}{name}.{tensor}" in tensors:
                tensors[f"{prefix}{name}{BASE}{tensor}"] = tensors.pop(f"{prefix}{name}.{tensor}")


def _expect_no_adapters(tower: nn.Module, incompatible: Any) -> None:
    """Report no adapters as missing: they are loaded next to the tower."""
    incompatible.missing_keys[:] = [name for name in incompatible.missing_keys if ADAPTER not in name]
