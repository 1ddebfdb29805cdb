"""Checksums of the files of an index folder: recorded in the manifest, compared when the folder is opened.

CRC-32, since rows are appended: a SHA-256 could not go on from the recorded one without reading all rows before. It
notices damage of a disk or a copy, as the digests of a checkpoint do; neither stops who writes a matching one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vsezoo.errors import DataError, explain_system
from vsezoo.search.stored.manifest import REBUILD, Manifest
from vsezoo.storage.cache import identify, remember
from vsezoo.storage.plain_file import open_plain

BLOCK = 2**24
"""Bytes that are read at a time; a larger file is read once each time that it is written."""


class Checksum:
    """The CRC-32 of a file so far.

    Args:
        recorded: what `to_json` gave for its beginning; None: it is empty.
    """

    def __init__(self, recorded: Mapping[str, int] | None = None) -> None:
        self.size, self.crc32 = (recorded["size"], recorded["crc32"]) if recorded else (0, 0)

    def add(self, content: bytes | memoryview) -> None:
        """Go on with what was appended."""
        self.size += memoryview(content).nbytes
        self.crc32 = zlib.crc32(content, self.crc32)

    def to_json(self) -> dict[str, int]:
        """Return both as the manifest has them."""
        return {"size": self.size, "crc32": self.crc32}


def sum_file(file: Path, size: int | None = None) -> dict[str, int]:
    """Return the checksum of the first bytes of a file, or of all.

    Raises:
        OSError: for a file that cannot be read.
    """
    found = Checksum()
    with open_plain(file) as stream:
        while content := stream.read(BLOCK if size is None else min(BLOCK, size - found.size)):
            found.add(content)
    return found.to_json()


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare the files of an index with the checksums in its manifest; those of earlier versions have none.

    Raises:
        DataError: for a file that differs.
        FileNotFoundError: for one that is missing.
    """
    if not manifest.checksums:
        return
    for name in manifest.list_names():
        expected, file = manifest.checksums.get(name), folder / name
        try:
            if expected is not None and file.stat().st_size < expected["size"]:
                raise DataError("is shorter than it was: it is damaged.", file=file, remedy=REBUILD)
            if expected is None or not _is_same(file, dict(expected)):
                raise DataError("was altered: its checksum differs from the recorded one.", file=file, remedy=REBUILD)
        except FileNotFoundError:
            raise
        except OSError as error:
            reason, remedy = explain_system(error)
            raise DataError(f"cannot be read: {reason}.", file=file, remedy=remedy) from None


def _is_same(file: Path, expected: dict[str, Any]) -> bool:
    def compare() -> bool:
        return sum_file(file, expected["size"]) == expected

    if expected["size"] <= BLOCK:
        return compare()
    key = [*identify(file), expected]
    return bool(remember("verified", key, compare)) or compare()
