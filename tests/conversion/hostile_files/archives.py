"""Archives, and damage to their directory."""

from __future__ import annotations

import io
import struct
import zipfile


def pack(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive of members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def read_members(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def declare(content: bytes, index: int, size: int) -> bytes:
    """Let the directory say that a member has this size, packed and not."""
    place = -1
    for _ in range(index + 1):
        place = content.index(b"PK\x01\x02", place + 1)
    return content[: place + 20] + struct.pack("<II", size, size) + content[place + 28 :]


def patch_end(content: bytes, offset: int, value: bytes) -> bytes:
    place = content.rindex(b"PK\x05\x06") + offset
    return content[:place] + value + content[place + len(value) :]


def overlap(copies: int) -> bytes:
    """Return an archive whose directory lists one large member under many names."""
    content = pack({"archive/data/0": bytes(2**20)})
    start = content.index(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"data/0", b"data/%c" % (48 + n)) for n in range(copies))
    tail = content[end : end + 8] + struct.pack("<HHII", copies, copies, len(entries), start) + b"\0\0"
    return content[:start] + entries + tail
