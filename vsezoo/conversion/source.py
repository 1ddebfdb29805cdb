"""The input of an importer: a file, a folder, or a repository of the Hub, of another codebase."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from vsezoo.conversion import archives, arrays, pickles, torch_files, vocabulary
from vsezoo.conversion.files import open_file
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.hub.reference import parse_reference
from vsezoo.pretrained.weights import OpenedWeights, open_weights
from vsezoo.storage.digests import digest_file
from vsezoo.storage.plain_file import map_content
from vsezoo.storage.tensor_file import TensorFile

NOUN = "a file of another codebase"
FOLDER = "folder"


def read_safetensors(path: Path) -> TensorFile:
    """Return the tensors of a safetensors file by name; each is read on look-up.

    Raises:
        CheckpointError: for any other file.
    """
    with open_file(path, NOUN, torch_files.LIMIT) as stream:
        return TensorFile(map_content(stream), path, "Download the file again from its authors.")


FORMATS = {
    "torch": torch_files.read_torch,
    "safetensors": read_safetensors,
    "npz": arrays.read_npz,
    "npy": arrays.read_npy,
    "json": vocabulary.read_json,
    "pickle": pickles.read_pickle,
}
"""The reader of each file format."""


class Source:
    """A file or folder of another codebase, read once and safely.

    Args:
        path: the file or folder.
        vocab: the vocabulary file, if the user gives it; it may identify the codebase.

    Attributes:
        path, vocab: see above.
        reference: the input: the path, or a reference to the Hub with its commit.

    Raises:
        UsageError: for a path that does not exist.
    """

    def __init__(self, path: str | Path, vocab: str | Path | None = None) -> None:
        self.path, self.reference = Path(path), str(path)
        self.vocab = None if vocab is None else Path(vocab)
        self._companions: dict[Path, Source] = {}
        if not self.path.exists():
            raise UsageError("does not exist.", file=self.path, remedy="Give a file or folder to convert.")

    @classmethod
    def from_reference(cls, reference: str | Path, vocab: str | Path | None = None) -> Source:
        """Open a file, a folder, or `hub:org/name[@revision]`, from which neither code nor pickles are downloaded.

        Raises:
            UsageError: for a path that does not exist.
            CheckpointError, HubError: when the Hub fails or the repository is not suitable.
        """
        if parse_reference(reference) is None:
            return cls(reference, vocab)
        weights = open_weights(reference)
        source = cls(weights.folder, vocab)
        source.reference, source._weights = weights.name, weights
        return source

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, whose files `open` opens."""
        return self.path.is_dir()

    @cached_property
    def format(self) -> str:
        """The format by the first bytes, one of `FORMATS`; a pickle if no other matches; "folder" for a folder."""
        if self.is_folder:
            return FOLDER
        with open_file(self.path, NOUN, torch_files.LIMIT) as stream:
            start = stream.read(64)
            if start.startswith(torch_files.MAGIC):
                return "torch"
            if start.startswith(archives.MAGIC):
                names = archives.require_archive(stream, torch_files.MEMBERS).namelist()
                return "torch" if any(name.endswith("/data.pkl") for name in names) else "npz"
        if start.startswith(b"\x93NUMPY"):
            return "npy"
        if start[8:9] == b"{" and start[4:8] == bytes(4):  # a header below 4 GiB, in JSON
            return "safetensors"
        return "json" if start.lstrip().startswith((b"{", b"[")) else "pickle"

    @cached_property
    def content(self) -> Any:
        """The contents of the file, from the reader of its format.

        Raises:
            CheckpointError: for a folder, or if the reader refuses the file.
        """
        if self.is_folder:
            raise CheckpointError("is a folder, not a file.", file=self.path, remedy="Give the file of the weights.")
        return FORMATS[self.format](self.path)

    def tensors(self, prefix: str = "") -> Mapping[str, Tensor]:
        """Return the tensors of the safetensors files of a folder, or of one such file, see `Weights.tensors`.

        Raises:
            CheckpointError: if there is no such file, or it is damaged.
        """
        return self._weights.tensors(prefix)

    def config(self) -> Mapping[str, Any]:
        """Return the `config.json` of a folder; empty if there is none.

        Raises:
            CheckpointError: for a folder without safetensors files, or a damaged configuration.
        """
        return self._weights.config()

    @cached_property
    def _weights(self) -> OpenedWeights:
        if self.is_folder:
            return open_weights(self.path)
        return OpenedWeights(self.path.parent, self.path.name, [self.path.name])  # regardless of its suffix

    def open(self, path: str | Path) -> Source:
        """Open a file that belongs to this one.

        Args:
            path: relative to the folder of this file, or to this folder, or absolute.

        Raises:
            CheckpointError: if it does not exist.
        """
        wanted = (self.path if self.is_folder else self.path.parent) / path
        if not wanted.is_file():
            raise CheckpointError(
                "does not exist, but is needed.",
                file=wanted,
                remedy=f"Put it next to {self.path.name}, or give its path.",
            )
        return self._companions.setdefault(wanted, Source(wanted))

    def find(self, *suffixes: str) -> Source | None:
        """Open the first existing file with this name and a suffix, such as `model.npz.pkl`; None if none exists."""
        for suffix in suffixes:
            if Path(f"{self.path}{suffix}").is_file():
                return self.open(f"{self.path.name}{suffix}")
        return None

    def digest(self) -> dict[str, dict[str, Any]]:
        """Return size and SHA-256 of the file, of every companion that was opened, and of the files of a folder."""
        files = {} if self.is_folder else {self.path.name: digest_file(self.path)}
        if self.is_folder and "_weights" in vars(self):
            files |= self._weights.digest_files()
        for companion in self._companions.values():
            files |= companion.digest()
        return files
