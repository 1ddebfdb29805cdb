"""The digest of tensors, computed again only after they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


@torch.no_grad()
def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of tensors: of their names, dtypes, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


class TensorDigest:
    """Caches a digest as long as the tensors are the same objects and nothing is written to them."""

    def __init__(self) -> None:
        self._versions: list[tuple[int, int]] = []
        self._digest = ""

    def compute(self, tensors: Mapping[str, Tensor]) -> str:
        """Return the result of `digest_tensors`."""
        versions = [(tensor.data_ptr(), tensor._version) for tensor in tensors.values()]
        if versions != self._versions:
            self._versions, self._digest = versions, digest_tensors(tensors)
        return self._digest
