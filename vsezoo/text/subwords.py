"""The subwords of a file of the library `tokenizers`, for captions in any language."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

from vsezoo.errors import CheckpointError, RecipeError
from vsezoo.storage.digests import RESTORE
from vsezoo.storage.plain_file import explain_unread, read_plain


class Subwords:
    """Cuts captions as a `tokenizer.json` does, without its special tokens, padding and truncation.

    Args:
        content: of the file.

    Raises:
        ValueError: for another content.
    """

    FILE: ClassVar[str] = "tokenizer.json"

    def __init__(self, content: bytes) -> None:
        import tokenizers  # few models need it

        try:
            self._pieces: Any = tokenizers.Tokenizer.from_buffer(content)
        except Exception as error:  # it raises nothing more specific
            raise ValueError(str(error).strip().split("\n")[0][:200].rstrip(".")) from None
        self._pieces.no_padding()
        self._pieces.no_truncation()
        self.content, self.sha256 = content, hashlib.sha256(content).hexdigest()

    @classmethod
    def read(cls, file: str | Path) -> Subwords:
        """Read the file that the option `subwords` names.

        Raises:
            RecipeError: for a file that cannot be read, or of another form.
        """
        path = Path(file).expanduser()
        remedy = "Set text_encoder.subwords to a tokenizer.json of the library tokenizers."
        try:
            with explain_unread(path, RecipeError, remedy):
                return cls(read_plain(path / cls.FILE if path.is_dir() else path))
        except ValueError as error:
            raise RecipeError(f"is not a tokenizer: {error}.", file=path, remedy=remedy) from None

    @classmethod
    def from_checkpoint(cls, folder: Path, sha256: object) -> Subwords:
        """Read the file of a checkpoint, which has this digest.

        Raises:
            CheckpointError: if it cannot be read, or is another file.
        """
        path = folder / cls.FILE
        try:
            found = cls(read_plain(path))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot be read: {error}.", file=path, remedy=RESTORE) from error
        if found.sha256 != sha256:
            problem = f"has the SHA-256 {found.sha256}, not that of the vocabulary, {sha256}."
            raise CheckpointError(problem, file=path, remedy=RESTORE)
        return found

    def cut(self, caption: str) -> list[str]:
        """Return the subwords of a caption."""
        pieces: list[str] = self._pieces.encode(caption, add_special_tokens=False).tokens
        return pieces
