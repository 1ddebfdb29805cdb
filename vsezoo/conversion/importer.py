"""What an importer is: it makes a model of the files of another codebase, and may write such files.

Register a subclass through an entry point of the group `vsezoo.importers`. An importer looks at what is in a file,
never at its name alone; what it cannot express is an error, not a loss.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from vsezoo.construction import build_model
from vsezoo.conversion import archives, arrays, pickles, torch_files, vocabulary
from vsezoo.conversion.files import open_file
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.interfaces import Tokenizer
from vsezoo.model import JointEmbedding
from vsezoo.parts import resolve_recipe
from vsezoo.recipe import Recipe
from vsezoo.storage.folders import digest_file
from vsezoo.storage.tensors import load_tensors

NOUN = "a file of another codebase"
FORMATS = {
    "torch": torch_files.read_torch,
    "npz": arrays.read_npz,
    "npy": arrays.read_npy,
    "json": vocabulary.read_json,
    "pickle": pickles.read_pickle,
}
"""What reads a file of each format."""


class Source:
    """A file or folder of another codebase, read once and safely.

    Args:
        path: of the file or folder.
        vocab: of the file of the words, where the user names it: it may tell what the weights do not.

    Raises:
        UsageError: for a path that is not there.
    """

    def __init__(self, path: str | Path, vocab: str | Path | None = None) -> None:
        self.path = Path(path)
        self.vocab = None if vocab is None else Path(vocab)
        self._companions: dict[Path, Source] = {}
        if not self.path.exists():
            raise UsageError("is not there.", file=self.path, remedy="Give a file or folder to convert.")

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, of which `open` opens the files."""
        return self.path.is_dir()

    @cached_property
    def format(self) -> str:
        """Which of `FORMATS` the first bytes are those of; a pickle, which has no mark, where they are of no other."""
        with open_file(self.path, NOUN, torch_files.LIMIT) as stream:
            start = stream.read(64)
            if start.startswith(torch_files.MAGIC):
                return "torch"
            if start.startswith(archives.MAGIC):
                names = archives.require_archive(stream, torch_files.MEMBERS).namelist()
                return "torch" if any(name.endswith("/data.pkl") for name in names) else "npz"
        if start.startswith(b"\x93NUMPY"):
            return "npy"
        return "json" if start.lstrip().startswith((b"{", b"[")) else "pickle"

    @cached_property
    def content(self) -> Any:
        """What is in the file, as the reader of its format gives it.

        Raises:
            CheckpointError: for a folder, or what the reader refuses.
        """
        return FORMATS[self.format](self.path)

    def open(self, path: str | Path) -> Source:
        """Open a file that belongs to this one.

        Args:
            path: from the folder that this file is in, or from this folder; or an absolute one.

        Raises:
            CheckpointError: where there is none.
        """
        wanted = (self.path if self.is_folder else self.path.parent) / path
        if not wanted.is_file():
            raise CheckpointError(
                "is not there, and is needed.", file=wanted, remedy=f"Put it beside {self.path.name}, or give its path."
            )
        return self._companions.setdefault(wanted, Source(wanted))

    def find(self, *suffixes: str) -> Source | None:
        """Open the first file that has the name of this one and such a suffix, `model.npz` and `.pkl`; None: none."""
        for suffix in suffixes:
            if Path(f"{self.path}{suffix}").is_file():
                return self.open(f"{self.path.name}{suffix}")
        return None

    def digest(self) -> dict[str, dict[str, Any]]:
        """Return the size and sha256 of the file and of every companion that was opened, by their names."""
        files = {} if self.is_folder else {self.path.name: digest_file(self.path)}
        for companion in self._companions.values():
            files |= companion.digest()
        return files


@dataclass(frozen=True)
class Imported:
    """What an importer read.

    Attributes:
        recipe: names the parts and every option that the files decide.
        tokenizer: with the vocabulary of the files.
        tensors: of the model, by the names that it gives them. All of them: what is missing or left over is an error.
        data: what is known of the training data: `name`, `kind`, `image_shape`, `images`, `captions`, as far as it is.
        notes: what else the files tell, such as the epoch, for the record; JSON values.
    """

    recipe: Recipe
    tokenizer: Tokenizer
    tensors: Mapping[str, Tensor]
    data: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)

    def build(self, source: Source) -> JointEmbedding:
        """Return the model in eval mode.

        Raises:
            CheckpointError: for tensors that do not fit the recipe.
        """
        with torch.random.fork_rng(devices=()):
            model = build_model(resolve_recipe(self.recipe), self.tokenizer)
        load_tensors(model, self.tensors, source.path)
        return model.eval()


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
