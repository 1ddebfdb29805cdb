"""The beginnings of the sequences of a batch, each once: what sequences have in common at the start is read once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Prefixes(NamedTuple):
    """The N distinct beginnings of B sequences, in the order of their lengths: first those of one item."""

    sizes: list[int]  # how many there are of each length
    continued: list[Tensor]  # for each length: the indices of those shorter by one that they continue, each once
    parents: list[Tensor | None]  # and which of these each of them continues; None for one after the other
    items: Tensor  # the last item of each, `(N,)`
    of_sequences: Tensor  # the beginning that ends with each item of each sequence, `(B, L)`; past its end, any


def find_prefixes(places: Tensor, lengths: Tensor) -> Prefixes:
    """Return the distinct beginnings of sequences.

    Args:
        places: the items as numbers from 0, `(B, L)`; equal numbers are equal items.
        lengths: the numbers of items, `(B,)`, 1 or more and L at most.
    """
    ended = torch.arange(places.shape[1]) >= lengths[:, None]
    # Sorted sequences: those that begin alike are neighbours, and a beginning is new where it differs from the last.
    rows, row_of = torch.unique(places.masked_fill(ended, -1), dim=0, return_inverse=True)
    new = torch.ones_like(rows, dtype=torch.bool)
    new[1:] = (rows[1:] != rows[:-1]).cumsum(dim=1) > 0
    new = (new & (rows >= 0)).T.contiguous()
    index = new.flatten().cumsum(0).view(new.shape) - 1  # (L, rows)
    sizes = new.sum(dim=1)
    within = index - (sizes.cumsum(0) - sizes)[:, None]
    counts = sizes[: int(lengths.max())].tolist()
    continued, parents = [], list[Tensor | None]()
    # Those of one item continue the empty beginning.
    for found in (sizes.new_zeros(counts[0]), *within[:-1][new[1:]].split(counts[1:])):
        distinct, which = torch.unique_consecutive(found, return_inverse=True)
        continued.append(distinct)
        parents.append(which if len(distinct) < len(found) else None)
    return Prefixes(counts, continued, parents, rows.T[new], index.T[row_of])
