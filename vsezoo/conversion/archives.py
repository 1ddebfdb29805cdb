"""Zip archives: the directory is checked before anything is extracted."""

from __future__ import annotations

import stat
from pathlib import PurePosixPath
from typing import IO, BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from vsezoo.conversion.files import MIB, Refusal, show

MAGIC = b"PK\x03\x04"
DIRECTORY = 8 * MIB
"""Most bytes of a directory: 80,000 members."""


class _Bounded:
    """A file that limits the size of a single read: `zipfile` trusts the declared size of the directory."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable
        self._read = stream.read

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY:
            raise BadZipFile(f"it asks for {size:,} bytes at once")
        return self._read(size)


def require_archive(stream: BinaryIO, members: int) -> ZipFile:
    """Open the zip archive in a stream, with at most so many members.

    Raises:
        Refusal: for a name that occurs twice or leads out of the archive, for encryption, or for overlapping
            members.
    """
    size = stream.seek(0, 2)
    stream.seek(0)
    if stream.read(len(MAGIC)) != MAGIC:
        raise Refusal("is not a zip archive.")
    archive = ZipFile(cast(IO[bytes], _Bounded(stream)))
    found = archive.infolist()
    if len(found) > members:
        raise Refusal(f"is an archive of {len(found):,} members; at most {members:,} are allowed.")
    names = set()
    for member in found:
        name = member.filename
        if name in names:
            raise Refusal(f"has the member {show(name)} twice.")
        names.add(name)
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
            raise Refusal(f"has a member whose name leads out of the archive: {show(repr(name))}.")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Refusal(f"has a symbolic link as its member {show(name)}.")
        if member.flag_bits & 1 or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            raise Refusal(
                f"has the member {show(name)}, which is encrypted, or compressed unlike those of numpy and torch."
            )
        if member.compress_type == ZIP_STORED and member.file_size != member.compress_size:
            raise Refusal(f"has the member {show(name)} with two different sizes.")
    if sum(member.compress_size for member in found) > size:
        raise Refusal("has overlapping members: together they are larger than the file.")
    return archive
