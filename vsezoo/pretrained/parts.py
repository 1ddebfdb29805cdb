"""The pretrained weights of a model's parts: load them, leave them out of checkpoints, read them again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from vsezoo.errors import CheckpointError
from vsezoo.interfaces import Encoder, ModelPart, Weights
from vsezoo.pretrained.external import ExternalWeights, find_external
from vsezoo.pretrained.left_out import LeftOut
from vsezoo.pretrained.sharing import Sharing, load_part, open_again
from vsezoo.recipe import Recipe
from vsezoo.storage.tensors import rename_prefixes


class PretrainedParts(ABC):
    """Base class of the model.

    Attributes:
        recipe: the recipe of the model.
    """

    recipe: Recipe

    @property
    @abstractmethod
    def encoders(self) -> dict[str, Encoder]:
        """The encoders by their names in a recipe."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, ModelPart]:
        """The encoders and all other trained parts by their names in a recipe."""

    @cached_property
    def sharing(self) -> Sharing:
        """The parts that have loaded the pretrained weights of the recipe."""
        return Sharing()

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Load the pretrained weights of all parts, before a new model is trained.

        Args:
            weights: the weights of the recipe; None if it has none.
        """
        for name in self.parts:
            self.load_part(name, weights)

    def load_part(self, name: str, weights: Weights | None) -> None:
        """Load the pretrained weights of one part, see `load_pretrained`."""
        if load_part(self.parts[name], weights) and weights is not None:
            self.sharing.note(name, self.parts[name], weights)

    @property
    def external(self) -> dict[str, ExternalWeights]:
        """The encoders with external weights by their names in a recipe."""
        found = {name: find_external(encoder) for name, encoder in self.encoders.items()}
        return {name: encoder for name, encoder in found.items() if encoder is not None}

    def describe_encoders(self) -> dict[str, Any]:
        """Return what a checkpoint stores about the encoders, and whose external weights it omits.

        Returns:
            `encoders`: the description of each encoder; `pretrained`: the weights of the recipe, if a part has loaded
            them; `left_out`: see `LeftOut`.
        """
        skipping = [name for name, own in self.external.items() if own.skips_external_weights()]
        return {
            "encoders": {name: described for name, own in self.external.items() if (described := own.describe())},
            "pretrained": self.sharing.describe(),
            "left_out": self.sharing.choose(skipping, self.encoders).to_json(),
        }

    def list_folders(self) -> list[Path]:
        """Return the folders of this machine that external weights were read from."""
        return [
            *(folder for encoder in self.external.values() for folder in encoder.list_folders()),
            *self.sharing.list_folders(),
        ]

    def list_external(self, left_out: Any) -> tuple[str, ...]:
        """Return the name prefixes of the external tensors of the encoders in `left_out`."""
        return tuple(f"{name}.{self.external[name].external}" for name in LeftOut.from_json(left_out).names)

    def restore_external(
        self, left_out: Any, described: Mapping[str, Any], folders: Sequence[Path] = (), *, quick: bool = False
    ) -> None:
        """Make encoders read the weights that a checkpoint omits. Everything else must be loaded afterwards.

        Args:
            left_out: `left_out` as returned by `describe_encoders`.
            described: `encoders` as returned by it.
            folders: where files of weights may be.
            quick: for a model that will not be stored: hash its weights only if they were written since they were last
                hashed, and do not record their state.

        Raises:
            CheckpointError: if the weights cannot be found or their SHA-256 differs.
        """
        missing = LeftOut.from_json(left_out)
        if unknown := set(missing.names) - self.external.keys():
            raise CheckpointError(f"the weights of {min(unknown)} are left out, but it has no external weights.")
        for name in missing.own:
            self.external[name].restore_external(described.get(name, {}), folders)
        for source, shared in missing.shared.items():
            weights = open_again(source, shared.sha256, self.recipe.pretrained, folders, quick=quick)
            for name in shared.parts:
                if quick:
                    load_part(self.parts[name], weights)
                else:
                    self.load_part(name, weights)

    def rename_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by their current names, if earlier versions of an encoder used others."""
        renamed = {
            f"{name}.{old}": f"{name}.{new}" for name, part in self.parts.items() for old, new in part.renamed.items()
        }
        return rename_prefixes(tensors, renamed)
