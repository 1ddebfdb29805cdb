"""Members of tar archives of untrusted origin: what one declares is compared with a limit before it takes memory.

`tarfile` reads a header as long as it says it is, and a sparse member as long as its holes are. Here the headers of a
member and the size of a text are bounded, and a sparse member is refused: a picture is read at its offset, where a
sparse one has other bytes than it declares.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from vsezoo.data.pictures.limits import LARGEST_TEXT

HEADERS = 2**20
"""Most bytes of the headers of a member."""
SPARSE = "is stored as a sparse file, which has other bytes in the archive than it declares"


class MemberError(tarfile.TarError):
    """A member that is not read.

    Args:
        member: its name.
        problem: completes "the member …".
    """

    def __init__(self, member: str, problem: str) -> None:
        super().__init__(problem)
        self.member = member


class _Bounded:
    """A file of which few bytes can be read before `renew` is called."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell = stream.seek, stream.tell
        self._read = stream.read
        self.renew()

    def renew(self) -> None:
        self._left = HEADERS

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            raise tarfile.ReadError(f"the headers of a member have more than {HEADERS:,} bytes")
        self._left -= size
        return self._read(size)


def list_members(stream: BinaryIO) -> Iterator[tarfile.TarInfo]:
    """Yield the plain files of an uncompressed archive, in order.

    Raises:
        TarError: for what is not a tar archive, or not a complete one.
    """
    bounded, reached = _Bounded(stream), -1
    try:
        with tarfile.open(fileobj=cast(IO[bytes], bounded), mode="r:") as archive:
            while (member := archive.next()) is not None:
                if member.size < 0 or archive.offset <= reached:
                    raise tarfile.ReadError(f"a header leads back from byte {max(reached, 0):,}")
                reached = archive.offset
                if member.isfile():
                    yield member
                bounded.renew()
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes what is not a header for the end
                raise tarfile.ReadError(f"there is no header of a file at byte {archive.offset:,}")
    except (ValueError, OverflowError, RecursionError) as error:  # of numbers and chains of headers
        raise tarfile.ReadError(f"a header is damaged: {error}") from None


def require_plain(member: tarfile.TarInfo) -> None:
    """Raise MemberError for a sparse member."""
    if member.issparse():
        raise MemberError(member.name, SPARSE)


def read_text(stream: BinaryIO, member: tarfile.TarInfo) -> bytes:
    """Return the content of a text or JSON member.

    Raises:
        MemberError: for a sparse one, and for one that is larger than `LARGEST_TEXT`.
    """
    require_plain(member)
    if member.size > LARGEST_TEXT:
        problem = f"has {member.size:,} bytes; captions have at most {LARGEST_TEXT:,}"
        raise MemberError(member.name, problem)
    stream.seek(member.offset_data)
    return stream.read(member.size)
