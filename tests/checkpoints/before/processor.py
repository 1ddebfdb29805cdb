"""What this machine computes: whether the bits of another training run can be expected here."""

from __future__ import annotations

import hashlib
import itertools
from importlib.metadata import version

import torch
from torch import nn
from torch.nn import functional


def describe() -> dict[str, str]:
    """Return the versions of what computes, the instructions that torch uses, and digests of what they give.

    The libraries under torch choose their code by the maker of the processor, too, so its capability does not settle
    the last bits. Matrices of many sizes and a few steps of the layers that the runs are made of do, or nearly so.
    `dropout` is apart: without MKL, torch draws another mask from the same seed.
    """
    return {
        **{name: version(name) for name in ("timm", "torch", "transformers")},
        "capability": torch.backends.cpu.get_cpu_capability(),
        "dropout": _draw_mask(),
        "digest": _compute(),
    }


def _draw_mask() -> str:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return hashlib.sha256(functional.dropout(torch.ones(256), 0.2).numpy().tobytes()).hexdigest()


def _compute() -> str:
    generator = torch.Generator().manual_seed(0)
    digest = hashlib.sha256()

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator) - 0.5

    # Which code multiplies matrices depends on their sizes.
    for rows, inner, columns in itertools.product((1, 7, 12, 32, 200), (4, 8, 12, 16, 36), (4, 8, 16, 48)):
        first, second = draw(rows, inner), draw(columns, inner)
        for product in (first @ second.T, second @ first.T, functional.linear(first, second, draw(columns))):
            digest.update(product.contiguous().numpy().tobytes())
    layers = nn.ModuleList(
        [
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.GRU(8, 16, batch_first=True),
            nn.LSTM(16, 16, batch_first=True),
            nn.Linear(16, 16),
        ]
    )
    with torch.no_grad():
        for parameter in layers.parameters():
            parameter.copy_(draw(*parameter.shape))
    convolution, norm, gru, lstm, linear = layers
    optimizer = torch.optim.Adam(layers.parameters(), lr=0.01)
    pictures = draw(32, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    for _ in range(4):
        maps = functional.relu(norm(convolution(pictures))).flatten(2).transpose(1, 2)
        vectors = functional.normalize(linear(lstm(gru(maps[:, :12])[0])[0]).mean(dim=1), dim=-1)
        loss = functional.cross_entropy(vectors @ vectors.T / 0.1, torch.arange(32), reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(layers.parameters(), 2.0)
        optimizer.step()
    for tensor in layers.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
