"""Captions as ids, by the tokenizer of a folder of transformers: one of the library tokenizers, or SentencePiece's.

A tokenizer of the library tokenizers is stored as its `tokenizer.json`. SigLIP's is a SentencePiece model behind code
of transformers that lower-cases and removes punctuation; it is stored as the files that transformers writes.
"""

from __future__ import annotations

import functools
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers

from vsezoo.errors import CheckpointError, MissingPackageError, first_line, require_package
from vsezoo_clip.library import quiet

FAST = "tokenizer.json"
SENTENCEPIECE = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")
SLOW = ("vocab.json", "vocab.txt")
"""What transformers wrote of tokenizers before there was `tokenizer.json`: CLIP's with merges.txt, and BERT's."""
FILES = (
    FAST,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    *SENTENCEPIECE,
)
"""What transformers writes of a tokenizer."""

WHOLE = "Get all files of the model, as `save_pretrained` of its tokenizer writes them."


class Pieces(ABC):
    """Cuts captions into ids, marks included.

    Attributes:
        files: of the tokenizer, as transformers writes them.
        limit: ids that a caption may have.
    """

    def __init__(self, files: Mapping[str, bytes], limit: int) -> None:
        self.files, self.limit = dict(files), limit

    @abstractmethod
    def encode(self, captions: Sequence[str]) -> list[tuple[list[int], bool]]:
        """Return the ids of each caption, and whether it was cut at the limit."""

    @abstractmethod
    def decode(self, index: int) -> str:
        """Return the text of an id."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of ids."""


class FastPieces(Pieces):
    """A tokenizer of the library tokenizers."""

    def __init__(self, files: Mapping[str, bytes], limit: int) -> None:
        super().__init__(files, limit)
        self._backend = tokenizers.Tokenizer.from_str(files[FAST].decode())
        self._backend.no_padding()
        self._backend.enable_truncation(limit)

    def encode(self, captions: Sequence[str]) -> list[tuple[list[int], bool]]:
        """Return the ids of each caption, and whether it was cut at the limit."""
        return [(found.ids, bool(found.overflowing)) for found in self._backend.encode_batch(list(captions))]

    def decode(self, index: int) -> str:
        """Return the text of an id."""
        return str(self._backend.decode([index], skip_special_tokens=False))

    def __len__(self) -> int:
        """Return the number of ids."""
        return self._backend.get_vocab_size(with_added_tokens=True)


class SentencePieces(Pieces):
    """A tokenizer of transformers on a SentencePiece model."""

    def __init__(self, files: Mapping[str, bytes], limit: int, tokenizer: Any) -> None:
        super().__init__(files, limit)
        self._tokenizer = tokenizer

    def encode(self, captions: Sequence[str]) -> list[tuple[list[int], bool]]:
        """Return the ids of each caption, and whether it was cut at the limit."""
        if not captions:
            return []
        with quiet():  # it logs what is too long, also where that is cut off
            whole = self._tokenizer(list(captions), padding=False, truncation=False)["input_ids"]
            cut = self._tokenizer(list(captions), padding=False, truncation=True, max_length=self.limit)["input_ids"]
        return [(short, len(long) > len(short)) for short, long in zip(cut, whole, strict=True)]

    def decode(self, index: int) -> str:
        """Return the text of an id."""
        return str(self._tokenizer.decode([index]))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self._tokenizer)


class OpenClipPieces(Pieces):
    """The tokenizer of OpenAI's CLIP, whose vocabulary comes with open_clip; it cleans captions itself.

    Raises:
        MissingPackageError: if open_clip is not installed.
    """

    def __init__(self, limit: int) -> None:
        super().__init__({}, limit)
        self._tokenizer = _make_once(require_package("open_clip", "a model of open_clip").SimpleTokenizer)

    def encode(self, captions: Sequence[str]) -> list[tuple[list[int], bool]]:
        """Return the ids of each caption, and whether it was cut at the limit."""
        first, last = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        whole = [self._tokenizer.encode(caption) for caption in captions]
        return [([first, *ids[: self.limit - 2], last], len(ids) > self.limit - 2) for ids in whole]

    def decode(self, index: int) -> str:
        """Return the text of an id."""
        return str(self._tokenizer.decode([index]))

    def __len__(self) -> int:
        """Return the number of ids."""
        return int(self._tokenizer.vocab_size)


@functools.cache
def _make_once(tokenizer: Callable[[], Any]) -> Any:
    """Return an open_clip tokenizer, which takes a tenth of a second to make, and which nothing changes."""
    return tokenizer()


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a folder as transformers has it.

    Raises:
        CheckpointError: for a folder without one, or one that asks for code of its own.
        MissingPackageError: for one of SentencePiece, if that is not installed.
    """
    held = {item.name for item in folder.iterdir()}
    if not held & {FAST, *SENTENCEPIECE, *SLOW}:  # transformers would return one without a vocabulary
        raise CheckpointError(f"has no tokenizer ({FAST}).", file=folder, remedy=WHOLE)
    if FAST not in held and held & set(SENTENCEPIECE):
        require_package("sentencepiece", "its tokenizer, a SentencePiece model,", folder)
    try:
        from transformers import AutoTokenizer

        with quiet():
            return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except MissingPackageError:
        raise
    except Exception as error:  # transformers raises what it likes
        raise CheckpointError(
            f"has no tokenizer that can be read: {first_line(error)}.",
            file=folder,
            remedy=WHOLE,
        ) from error


def make_pieces(tokenizer: Any, limit: int) -> Pieces:
    """Return a tokenizer of transformers as pieces."""
    with tempfile.TemporaryDirectory() as temporary, quiet():
        tokenizer.save_pretrained(temporary)
        files = {path.name: path.read_bytes() for path in sorted(Path(temporary).iterdir())}
    return FastPieces(files, limit) if FAST in files else SentencePieces(files, limit, tokenizer)


def read_pieces(folder: Path, limit: int) -> Pieces:
    """Read pieces from a checkpoint folder.

    Raises:
        CheckpointError, MissingPackageError: see `load_tokenizer`.
    """
    files = {name: (folder / name).read_bytes() for name in FILES if (folder / name).is_file()}
    if FAST in files:
        return FastPieces(files, limit)
    if not files:
        return OpenClipPieces(limit)
    with tempfile.TemporaryDirectory() as temporary:  # without the checkpoint's own config.json
        for name, content in files.items():
            (Path(temporary) / name).write_bytes(content)
        return SentencePieces(files, limit, load_tokenizer(Path(temporary)))
