"""Pickles written opcode by opcode."""

from __future__ import annotations

import struct


def text(value: str) -> bytes:
    """Push a string."""
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def number(value: int) -> bytes:
    """Push a whole number."""
    return b"J" + struct.pack("<i", value)


def call(name: str, arguments: bytes) -> bytes:
    """Call a name with what these opcodes push."""
    module, _, function = name.rpartition(".")
    return b"c" + f"{module}\n{function}\n".encode() + b"(" + arguments + b"tR"


def plain(opcodes: bytes, protocol: int = 2) -> bytes:
    """Return a pickle of these opcodes."""
    return bytes([0x80, protocol]) + opcodes + b"."
