"""Scalars for TensorBoard without the package, which brings gRPC, a web server and 58 MB.

An event file is a sequence of TFRecord records: the length, its checksum, the message, its checksum. A message is an
`Event` in the wire format of Protocol Buffers, of which a scalar needs six fields.

Records are written by the calling thread: torch's `SummaryWriter` writes from a separate thread, which prints a
traceback when the disk is full, while training continues unaware.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

FILE_VERSION = b"brain.Event:2"
SESSION_START = 1
"""`SessionLog.status` of the start of a run: TensorBoard then hides later steps of earlier runs."""

VARINT, DOUBLE, BYTES, FLOAT = 0, 1, 2, 5
"""Wire types of Protocol Buffers."""
LARGEST = 3.4028234663852886e38
"""The largest 32-bit number; larger ones are shown as infinite."""


class Board:
    """An event file in TensorBoard's format.

    Args:
        folder: the folder for TensorBoard.
        step: the step from which a run continues; TensorBoard hides earlier records of later steps.

    Raises:
        OSError: when the file cannot be written, here and in the methods.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # The time makes the name unique, and TensorBoard reads the files of a run in order of name.
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb", buffering=0)
        self._write(_join(3, FILE_VERSION))
        self._write(_count(2, step + 1) + _join(7, _count(1, SESSION_START)))

    def write(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the scalars of one step."""
        values = [_join(1, _join(1, name.encode()) + _float(2, value)) for name, value in scalars.items()]
        self._write(_count(2, step) + _join(5, b"".join(values)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, fields: bytes) -> None:
        event = _key(1, DOUBLE) + struct.pack("<d", time.time()) + fields
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))


def read_pace(folder: Path) -> tuple[int, float] | None:
    """Return the last step in the newest event file, and the seconds of a step since that file was begun.

    None: there is no file that `Board` wrote, or it has no step yet.
    """
    files = sorted(folder.glob("events.out.tfevents.*"))
    content = files[-1].read_bytes() if files else b""
    times: list[tuple[int, float]] = []
    place = 0
    while place + 12 <= len(content):
        (length,) = struct.unpack_from("<Q", content, place)
        event = content[place + 12 : place + 12 + length]
        if len(event) == length > 10 and event[9:10] == _key(2, VARINT):
            times.append((_read_varint(event[10:]), struct.unpack_from("<d", event, 1)[0]))
        place += length + 16
    if len(times) < 2 or times[-1][0] < times[0][0]:
        return None
    (first, begun), (last, now) = times[0], times[-1]
    return last, (now - begun) / (last + 1 - first)  # the first record is of the step after the one it continues


def _read_varint(content: bytes) -> int:
    number = 0
    for place, byte in enumerate(content):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            break
    return number


def _key(field: int, wire_type: int) -> bytes:
    return bytes([field << 3 | wire_type])


def _count(field: int, number: int) -> bytes:
    """Return an integer field."""
    return _key(field, VARINT) + _varint(number)


def _float(field: int, number: float) -> bytes:
    return _key(field, FLOAT) + struct.pack("<f", number * math.inf if abs(number) > LARGEST else number)


def _join(field: int, content: bytes) -> bytes:
    """Return a string or message field."""
    return _key(field, BYTES) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return an integer as groups of seven bits, lowest first; the eighth bit marks all but the last group."""
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _tabulate(polynomial: int = 0x82F63B78) -> tuple[int, ...]:
    """Return the remainder of each byte for the reversed polynomial of CRC-32C (Castagnoli)."""
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (polynomial if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


REMAINDERS = _tabulate()


def _checksum(content: bytes) -> bytes:
    """Return the CRC-32C of bytes, masked as in TFRecord so that checksums of checksums differ."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ REMAINDERS[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
