"""The digests of the files of a folder: recorded when a checkpoint is written, verified when it is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError
from vsezoo.storage.plain_file import Content

RESTORE = "Download or copy the checkpoint folder again."
"""What to do about a folder with a damaged file."""


def digest_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size in bytes and SHA-256 of each file of a folder."""
    return {file.name: digest_file(file) for file in sorted(folder.iterdir()) if file.is_file()}


def digest_file(file: Path) -> dict[str, Any]:
    """Return size in bytes and SHA-256 of a file."""
    with file.open("rb") as stream:
        return {"size": file.stat().st_size, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}


def require_digest(content: Content, expected: Mapping[str, Any], file: Path, remedy: str = RESTORE) -> None:
    """Compare the content of a file with its digest.

    Raises:
        CheckpointError: if it differs.
    """
    require_size(memoryview(content).nbytes, expected, file, remedy)
    _require_sha256(hashlib.sha256(content).hexdigest(), expected, file, remedy)


def require_size(size: int, expected: Mapping[str, Any], file: Path, remedy: str = RESTORE) -> None:
    """Compare the size of a file in bytes with its digest.

    Raises:
        CheckpointError: if it differs.
    """
    if size != expected["size"]:
        raise CheckpointError(f"has {size:,} bytes instead of {expected['size']:,}.", file=file, remedy=remedy)


def _require_sha256(sha256: str, expected: Mapping[str, Any], file: Path, remedy: str = RESTORE) -> None:
    if sha256 != expected["sha256"]:
        raise CheckpointError("was altered: its SHA-256 differs from the recorded one.", file=file, remedy=remedy)


def verify_files(folder: Path, digests: Mapping[str, Mapping[str, Any]]) -> None:
    """Compare the files of a folder with their digests.

    Raises:
        CheckpointError: for a file that is missing or differs.
    """
    held = {file.name for file in folder.iterdir() if file.is_file()}
    for name, expected in digests.items():
        file = folder / name
        if name not in held:  # a name must not lead out of the folder
            raise CheckpointError("is missing, although config.json lists it.", file=file, remedy=RESTORE)
        require_size(file.stat().st_size, expected, file)
        _require_sha256(digest_file(file)["sha256"], expected, file)
