"""Pretrained weights shared by the parts of a model: which parts loaded them, and whether they have changed since."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vsezoo.errors import CheckpointError
from vsezoo.interfaces import ModelPart, Weights
from vsezoo.pretrained.digests import TensorDigest
from vsezoo.pretrained.external import find_external, knows_source
from vsezoo.pretrained.left_out import LeftOut, SharedSource
from vsezoo.pretrained.weights import open_weights


def load_part(part: ModelPart, weights: Weights | None) -> bool:
    """Load the pretrained weights of a part; return whether it uses those of the recipe.

    A part that defines `load_pretrained` without an argument has a source of its own, if any.
    """
    if "weights" in inspect.signature(part.load_pretrained).parameters:
        part.load_pretrained(weights)
        return True
    part.load_pretrained()
    return False


def open_again(name: str, sha256: str, reference: str, folders: Sequence[Path], *, quick: bool = False) -> Weights:
    """Open pretrained weights that a checkpoint omits.

    Args:
        name: name in the checkpoint.
        sha256: the expected digest.
        reference: reference in the recipe; a path is valid only on the machine that wrote the checkpoint.
        folders: where to look for a folder of this name.
        quick: hash the file only if it was written since it was last hashed, and have its tensors used as they are.

    Raises:
        CheckpointError: if they cannot be found or their SHA-256 differs.
        HubError: if they cannot be downloaded.
    """
    weights = open_weights(reference if Path(reference).name == name else name, folders)
    found = weights.recall_sha256() if quick else weights.sha256
    if found != sha256:
        raise CheckpointError(
            f"the pretrained weights have the SHA-256 {found}, but the model was trained with {sha256}.",
            file=weights.folder,
            remedy="Use the weights that the model was trained with.",
        )
    weights.may_keep = quick
    return weights


class Sharing:
    """The name and digests of the pretrained weights of a model's recipe."""

    def __init__(self) -> None:
        self._name, self._sha256, self._folder = "", "", Path()
        self._digests: dict[str, tuple[TensorDigest, str]] = {}  # of the external weights of encoders, as loaded

    def note(self, name: str, part: nn.Module, weights: Weights) -> None:
        """Record that a part has loaded weights."""
        self._name, self._sha256, self._folder = weights.name, weights.sha256, weights.folder
        if find_external(part) is not None:
            digest = TensorDigest()
            self._digests[name] = digest, digest.compute(_list_external(part))

    def describe(self) -> dict[str, Any]:
        """Return name and digest of the weights as JSON values; empty if there are none."""
        return {"name": self._name, "sha256": self._sha256} if self._name else {}

    def list_folders(self) -> list[Path]:
        """Return the parent folder of the weights, if they are on this machine."""
        return [] if not self._name or self._name.startswith("hub:") else [self._folder.absolute().parent]

    def choose(self, skipping: Iterable[str], encoders: Mapping[str, nn.Module]) -> LeftOut:
        """Return the encoders whose external weights a checkpoint may omit.

        Args:
            skipping: encoders that request it.
            encoders: encoders by name. If the weights of one have changed since they were loaded, they are stored.
        """
        skipping = list(skipping)
        same = []
        for name in skipping:
            if name in self._digests:
                digest, loaded = self._digests[name]
                same += [name] if digest.compute(_list_external(encoders[name])) == loaded else []
        shared = {self._name: SharedSource(self._sha256, tuple(same))} if same else {}
        own = (name for name in skipping if name not in self._digests and knows_source(encoders[name]))
        return LeftOut(tuple(own), shared)


def _list_external(part: nn.Module) -> dict[str, Tensor]:
    external = find_external(part)
    prefix = "" if external is None else external.external
    return {name: tensor for name, tensor in part.state_dict().items() if name.startswith(prefix)}
