"""The vectors of a collection that is searched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


class Opened(Protocol):
    """An open file."""

    def fileno(self) -> int:
        """Return its number."""


@dataclass(frozen=True)
class Rows:
    """The rows of an index folder.

    Attributes:
        vectors: `(n, D)` float32 or float16, mapped.
        alive: which of them may be found, `(n,)` bool; None: all.
        file: the open file that they are mapped from, and nothing else is in; None: they are in memory.
    """

    vectors: Tensor
    alive: Tensor | None
    file: Opened | None = None

    @property
    def count(self) -> int:
        """Number of rows that may be found."""
        return len(self.vectors) if self.alive is None else int(self.alive.sum())

    def read(self, numbers: Tensor) -> Tensor:
        """Return the vectors of a few rows, `(len(numbers), D)`.

        They are read from the file, since touching a mapped row makes up to 2 MB around it count as memory.
        """
        if self.file is None or not hasattr(os, "pread"):  # Windows has none
            return self.vectors[numbers]
        width = self.vectors.shape[1]
        size, file = width * self.vectors.itemsize, self.file.fileno()
        content = b"".join(os.pread(file, size, number * size) for number in numbers.tolist())
        return torch.frombuffer(bytearray(content), dtype=self.vectors.dtype).reshape(-1, width)
