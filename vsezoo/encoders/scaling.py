"""Unit L2 norm as SCAN and the codebases derived from it compute it: `x / (‖x‖ + 1e-8)`."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from vsezoo.batch import Embeddings

EPSILON = 1e-8
"""Added to the norms that vectors are divided by, where `torch.nn.functional.normalize` clamps them."""


def scale_rows(rows: Tensor) -> Tensor:
    """Return vectors `(..., D)` divided by their norms; zeros stay zeros, with a finite gradient."""
    norms = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    # Divided by the mere 1e-8, zeros would have a gradient 1e8 times as large; they get a norm of one.
    return rows / (torch.where(norms > 0, norms, 1.0) + EPSILON)


def scale_items(output: Embeddings) -> Embeddings:
    """Return embeddings with each item divided by its norm; padding and other items of zeros stay zeros."""
    return dataclasses.replace(output, items=scale_rows(output.regions))
