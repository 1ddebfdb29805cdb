"""What an importer is: it makes a model of the files of another codebase, and may write such files.

Register a subclass through an entry point of the group `vsezoo.importers`. An importer looks at what is in a file,
never at its name alone; what it cannot express is an error, not a loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

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
    """What an importer read.

    Attributes:
        recipe: names the parts and every option that the files decide.
        tokenizer: with the vocabulary of the files.
        tensors: of the model, by the names that it gives them. All of them: what is missing or left over is an error.
        data: what is known of the training data: `name`, `kind`, `image_shape`, `images`, `captions`, as far as it is.
        notes: what else the files tell, such as the epoch, for the record; JSON values.
        loss_tensors: those of the loss, likewise, such as a temperature that was learnt; empty: the loss is not stored.
        transform: options of the image encoder that say how a picture becomes its input, such as `image_size`, `mean`
            and `std`; they are set beside those of the recipe.
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
        with torch.random.fork_rng(devices=()):
            model = build_model(resolve_recipe(recipe), self.tokenizer)
        load_tensors(model, self.tensors, source.path)
        return model.eval()

    def build_loss(self, source: Source, model: JointEmbedding) -> Loss | None:
        """Return the loss of the model in eval mode; None: the files have nothing of it.

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
    """Makes a model of the files of one codebase, and may write them. Its constructor takes nothing.

    Attributes:
        name: what the format is called on the command line.
        summary: one line about it.
        options: what `read` may be told, each with a line about it; for example the path of a vocabulary.
        file_name: what the codebase calls the file of the weights; `write` gets it where no other is wanted.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[Mapping[str, str]] = {}
    file_name: ClassVar[str] = "model"

    @abstractmethod
    def recognise(self, source: Source) -> bool:
        """Tell by its content whether a file or folder is of this codebase.

        Raises:
            CheckpointError: where the content cannot be read.
        """

    @abstractmethod
    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        """Read the model.

        Args:
            source: what `recognise` said yes to.
            options: some of `options`.

        Raises:
            CheckpointError: for what is missing, does not fit, or cannot be expressed.
        """

    def write(self, model: JointEmbedding, path: Path, data: str = "") -> list[Path]:
        """Write the model as the codebase reads it. By default, it cannot be written.

        Args:
            model: to write.
            path: of the file of the weights; what belongs to it stands beside it, in the same folder.
            data: the name of the training data; empty where it is not known.

        Returns:
            the files, that of the weights first.

        Raises:
            UsageError: for a model that the codebase does not have.
        """
        raise UsageError(f"{self.name!r} can be read but not written.", remedy="Choose a format that can be written.")
