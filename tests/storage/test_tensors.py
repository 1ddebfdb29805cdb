"""Tensors of modules in safetensors files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from vsezoo.storage.tensors import list_tensors, load_tensors, write_tensors


class Tied(nn.Module):
    """Two layers with one weight, and a part of it as a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(2, 2), nn.Linear(2, 2)
        self.other.weight = self.one.weight
        self.register_buffer("row", self.one.weight.detach()[0])


def test_tied_weights_are_stored_once_for_each_name(tmp_path: Path) -> None:
    module, again, file = Tied(), Tied(), tmp_path / "tied.safetensors"
    write_tensors(list_tensors(module), file)
    stored = load_file(file)
    assert stored.keys() == {"one.weight", "one.bias", "other.weight", "other.bias", "row"}
    load_tensors(again, stored, file)
    assert again.one.weight is again.other.weight
    assert torch.equal(again.other.weight, module.one.weight)
    assert torch.equal(again.row, module.one.weight[0])
