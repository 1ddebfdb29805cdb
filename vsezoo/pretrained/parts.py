"""What a model does about the pretrained weights of its parts: load them, leave them out, read them again."""

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


class PretrainedParts(ABC):
    """Base of a model.

    Attributes:
        recipe: of the model.
    """

    recipe: Recipe

    @property
    @abstractmethod
    def encoders(self) -> dict[str, Encoder]:
        """The encoders, by the names that they have in a recipe."""

    @property
    @abstractmethod
    def parts(self) -> dict[str, ModelPart]:
        """The encoders and whatever else is trained, by the names that they have in a recipe."""

    @cached_property
    def sharing(self) -> Sharing:
        """Which parts have loaded the pretrained weights of the recipe."""
        return Sharing()

    def load_pretrained(self, weights: Weights | None = None) -> None:
        """Let the parts load pretrained weights, before a new model is trained.

        Args:
            weights: those of the recipe; None: it has none.
        """
        for name in self.parts:
            self.load_part(name, weights)

    def load_part(self, name: str, weights: Weights | None) -> None:
        """Let one part load pretrained weights, see `load_pretrained`."""
        if load_part(self.parts[name], weights) and weights is not None:
            self.sharing.note(name, self.parts[name], weights)

    @property
    def external(self) -> dict[str, ExternalWeights]:
        """The encoders that have external weights, by the names that they have in a recipe."""
        found = {name: find_external(encoder) for name, encoder in self.encoders.items()}
        return {name: encoder for name, encoder in found.items() if encoder is not None}

    def describe_encoders(self) -> dict[str, Any]:
        """Return what a checkpoint stores of the encoders, and which of them it holds without their external weights.

        Returns:
            `encoders`: what each of them describes; `pretrained`: the weights of the recipe, if a part has loaded them;
            `left_out`: as `LeftOut` writes it.
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
        """Return the prefixes of the names of the external tensors of the encoders that `left_out` names."""
        return tuple(f"{name}.{self.external[name].external}" for name in LeftOut.from_json(left_out).names)

    def restore_external(
        self, left_out: Any, described: Mapping[str, Any], folders: Sequence[Path] = (), *, quick: bool = False
    ) -> None:
        """Have encoders read again the weights that a checkpoint does not hold. All else is to be loaded afterwards.

        Args:
            left_out: what `describe_encoders` returned under this name.
            described: what it returned as `encoders`.
            folders: where files of weights may be.
            quick: for a model that is not to be stored: its weights are hashed only if they were written since that was
                done last, and what they are now is not noted.

        Raises:
            CheckpointError: if the weights cannot be found or their SHA-256 differs.
        """
        missing = LeftOut.from_json(left_out)
        if unknown := set(missing.names) - self.external.keys():
            raise CheckpointError(f"the weights of {min(unknown)} are left out, which has none to read again.")
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
        """Return tensors by their present names, where earlier versions of an encoder had others."""
        renamed = {
            f"{name}.{old}": f"{name}.{new}" for name, part in self.parts.items() for old, new in part.renamed.items()
        }

        def rename(name: str) -> str:
            start = next((start for start in renamed if name.startswith(start)), "")
            return renamed.get(start, "") + name.removeprefix(start)

        return {rename(name): tensor for name, tensor in tensors.items()}
