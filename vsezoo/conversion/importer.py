"""The base class of importers, which read models from files of another codebase and may write such files.

Register a subclass through an entry point of the group `vsezoo.importers`. An importer looks at the contents
of a file, not only at its name; anything unsupported is an error and never dropped.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vsezoo.checkpoints.uninitialized import build_uninitialized
from vsezoo.construction import build_loss, build_model
from vsezoo.conversion.source import FORMATS as FORMATS
from vsezoo.conversion.source import NOUN as NOUN
from vsezoo.conversion.source import Source as Source
from vsezoo.errors import UsageError
from vsezoo.interfaces import Loss, Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.tensors import load_tensors


@dataclass(frozen=True)
class Imported:
    """The result of an importer.

    Attributes:
        recipe: the parts, with every option determined by the files.
        tokenizer: with the vocabulary of the files.
        tensors: all tensors by their names in the model; missing and extra ones are errors.
        data: known facts about the training data: `name`, `kind`, `image_shape`, `images`, `captions`.
        notes: further facts from the files, such as the epoch, for the record; JSON values.
        loss_tensors: all tensors of the loss, such as a learned temperature; empty: the loss is not stored.
        transform: options of the image encoder for its preprocessing, such as `image_size`, `mean` and `std`, in
            addition to those of the recipe.
    """

    recipe: Recipe
    tokenizer: Tokenizer
    tensors: Mapping[str, Tensor]
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    loss_tensors: Mapping[str, Tensor] = field(default_factory=dict)
    transform: Mapping[str, Any] = field(default_factory=dict)

    def build(self, source: Source) -> JointEmbedding:
        """Return the model in eval mode.

        Raises:
            CheckpointError: for tensors that do not fit the recipe.
        """
        recipe = self.recipe.replace({f"image_encoder.{name}": value for name, value in self.transform.items()})
        model = build_uninitialized(lambda: build_model(resolve_recipe(recipe), self.tokenizer))
        load_tensors(model, self.tensors, source.path)
        return model.eval()

    def build_loss(self, source: Source, model: JointEmbedding) -> Loss | None:
        """Return the loss of the model in eval mode; None if the files do not contain it.

        Raises:
            CheckpointError: for tensors that do not fit the recipe.
        """
        if not self.loss_tensors:
            return None
        with torch.random.fork_rng(devices=()):
            loss = build_loss(model.recipe, self.tokenizer)
        load_tensors(loss, self.loss_tensors, source.path)
        return loss.eval()


class Importer(ABC):
    """Reads models from files of one codebase, and may write them. Its constructor takes no arguments.

    Attributes:
        name: name of the format on the command line.
        summary: one line about it.
        options: options of `read`, each with one line of help; for example the path of a vocabulary.
        file_name: usual name of the file of the weights, the default for `write`.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}
    file_name: ClassVar[str] = "model"

    @abstractmethod
    def recognise(self, source: Source) -> bool:
        """Return whether the content of a file or folder is of this codebase.

        Raises:
            CheckpointError: if the content cannot be read.
        """

    @abstractmethod
    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model.

        Args:
            source: a source that `recognise` accepted.
            options: values of some of `options`.

        Raises:
            CheckpointError: if something is missing, does not fit, or is not supported.
        """

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the model in the format of the codebase. By default, this is not supported.

        Args:
            model: the model.
            path: the file of the weights; other files are written next to it.
            data: name of the training data; empty if unknown.

        Returns:
            the files, the weights first.

        Raises:
            UsageError: for a model that the codebase does not support.
        """
        raise UsageError(f"{self.name!r} can be read but not written.", remedy="Choose a format that can be written.")
