"""Arrays of numpy that are damaged, or small and want much."""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from hostile_files.archives import declare, pack
from hostile_files.corpus import CORPUS, Call, add, sparse


def npy(shape: Any, dtype: str = "'<f4'", raw: bytes = bytes(16), version: bytes = b"\x01\x00", pad: int = 0) -> bytes:
    """Return an .npy file that says this."""
    header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b" " * pad + b"\n"
    length = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + version + length + header + raw


def npz(method: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    """Return an .npz file of these members."""
    return pack({f"{name}.npy": content for name, content in members.items()}, method)


SOUND = npy((4,))
for reader in ("npy", "npz"):
    wrap: Callable[[bytes], bytes] = (lambda content: content) if reader == "npy" else (lambda content: npz(W=content))
    add(reader, "shape-huge", wrap(npy((2**40, 2**10))))
    add(reader, "shape-negative", wrap(npy((-4,))))
    add(reader, "shape-no-number", wrap(npy("('4',)")))
    add(reader, "shape-of-true", wrap(npy("(True,)", raw=bytes(4))))
    add(reader, "shape-of-nothing", wrap(npy("()")))
    add(reader, "too-short", wrap(SOUND[:-1]))
    add(reader, "too-long", wrap(SOUND + b"x"))
    add(reader, "objects", lambda c, w=wrap: w(npy((1,), "'|O'", pickle.dumps([Call(os.system, f"touch {c}")]))))
    add(reader, "structured", wrap(npy((2,), "[('a', '<f4'), ('b', '<f4')]")))
    add(reader, "strings-of-no-length", wrap(npy((2**40,), "'|S0'", b"")))
    add(reader, "times", wrap(npy((2,), "'<M8[s]'")))
    add(reader, "complex", wrap(npy((2,), "'<c8'")))
    add(reader, "header-calls", wrap(npy("__import__('os').system('true')")))
    add(reader, "header-long", wrap(npy((4,), pad=60_000)))
    add(reader, "header-declares-4-gb", wrap(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(64)))
    add(reader, "header-nested", wrap(npy("(" * 4000 + ")" * 4000)))
    add(reader, "header-of-signs", wrap(npy("-" * 9000 + "1")))
    add(reader, "version-9", wrap(npy((4,), version=b"\x09\x00")))
    add(reader, "beyond-float32", wrap(npy((2,), "'<f8'", struct.pack("<dd", 1.0, 1e300))))
    add(reader, "letters-that-do-not-exist", wrap(npy((1,), "'<U4'", b"\xff" * 16)))
add("npy", "empty", b"")
add("npy", "pickle", pickle.dumps([1]))
add("npz", "pickle", pickle.dumps({"Wemb": 1}, 2))
add("npz", "member-no-array", npz(W=b"hello"))
add("npz", "member-pickle", lambda c: npz(W=pickle.dumps(Call(os.system, f"touch {c}"))))
add("npz", "array-twice", pack([("W.npy", SOUND), ("W", SOUND)]))
add("npz", "member-leads-out", pack({"../W.npy": SOUND}))
add("npz", "member-backslash", pack({"..\\W.npy": SOUND}))
add("npz", "truncated", npz(W=SOUND)[:-30])
add("npz", "checksum", npz(W=SOUND).replace(bytes(16), b"\x01" + bytes(15), 1))
add("npz", "bomb", lambda _: npz(zipfile.ZIP_DEFLATED, W=npy((2**25,), raw=bytes(2**27))))
add(
    "npz",
    "bomb-of-many",
    lambda _: npz(zipfile.ZIP_DEFLATED, **{f"W{n}": npy((2**22,), raw=bytes(2**24)) for n in range(8)}),
)
add("npz", "bomb-that-lies", lambda _: declare(npz(zipfile.ZIP_DEFLATED, W=npy((2**22,), raw=bytes(2**24))), 0, 128))
add(
    "npz",
    "packed-stream-damaged",
    lambda _: npz(zipfile.ZIP_DEFLATED, W=npy((2**10,), raw=bytes(2**12))).replace(b"\xed", b"\xff"),
)
add("npz", "packed-by-bzip2", npz(zipfile.ZIP_BZIP2, W=SOUND))
CORPUS["npz-of-holes"] = "npz", sparse(2**30, npz(W=SOUND))
