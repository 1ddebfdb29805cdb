"""The pretrained weights that parts of one model share: who has loaded them, and whether they are still the same."""

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
    """Have a part load pretrained weights; return whether it takes those of the recipe.

    A part that defines `load_pretrained` without an argument has a source of its own, if any.
    """
    if "weights" in inspect.signature(part.load_pretrained).parameters:
        part.load_pretrained(weights)
        return True
    part.load_pretrained()
    return False


def open_again(name: str, sha256: str, reference: str, folders: Sequence[Path], *, quick: bool = False) -> Weights:
    """Open pretrained weights that a checkpoint does not hold.

    Args:
        name: as the checkpoint has it.
        sha256: what their digest must be.
        reference: of the recipe, which on the machine that wrote the checkpoint is a path.
        folders: where a folder of this name may be.
        quick: hash the file only if it was written since that was done last.

    Raises:
        CheckpointError: if they cannot be found or their SHA-256 differs.
        HubError: for what the Hub does not give.
    """
    weights = open_weights(reference if Path(reference).name == name else name, folders)
    found = weights.recall_sha256() if quick else weights.sha256
    if found != sha256:
        raise CheckpointError(
            f"the pretrained weights have the sha256 {found}, not {sha256} as in the training.",
            file=weights.folder,
            remedy="Get the weights that the model was trained with.",
        )
    return weights


class Sharing:
    """What a model knows of the pretrained weights of its recipe: no more than the name and the digests."""

    def __init__(self) -> None:
        self._name, self._sha256, self._folder = "", "", Path()
        self._digests: dict[str, tuple[TensorDigest, str]] = {}  # of the external weights of encoders, as loaded

    def note(self, name: str, part: nn.Module, weights: Weights) -> None:
        """Take note that a part has loaded weights."""
        self._name, self._sha256, self._folder = weights.name, weights.sha256, weights.folder
        if find_external(part) is not None:
            digest = TensorDigest()
            self._digests[name] = digest, digest.compute(_list_external(part))

    def describe(self) -> dict[str, Any]:
        """Return name and digest of the weights as JSON values; empty: there are none."""
        return {"name": self._name, "sha256": self._sha256} if self._name else {}

    def list_folders(self) -> list[Path]:
        """Return the folder that holds that of the weights, if it is of this machine."""
        return [] if not self._name or self._name.startswith("hub:") else [self._folder.absolute().parent]

    def choose(self, skipping: Iterable[str], encoders: Mapping[str, nn.Module]) -> LeftOut:
        """Return which encoders a checkpoint may hold without their external weights.

        Args:
            skipping: those that say so.
            encoders: by their names. One whose weights have changed since they were loaded is stored.
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
