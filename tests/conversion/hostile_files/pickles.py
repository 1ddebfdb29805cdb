"""Pickles that run something, are damaged, or are small and want much."""

from __future__ import annotations

import builtins
import os
import pickle
import runpy
import struct
import subprocess

import numpy as np
import torch

from hostile_files.corpus import CORPUS, Call, add, sparse
from hostile_files.opcodes import call, number, plain, text

# Pickles that run something, by every way into a name that the format has.
for protocol in range(6):
    add("pickle", f"os-system-{protocol}", lambda c, p=protocol: pickle.dumps(Call(os.system, f"touch {c}"), p))
add("pickle", "popen", lambda c: pickle.dumps(Call(subprocess.Popen, ["touch", str(c)])))
add("pickle", "eval", lambda c: pickle.dumps(Call(builtins.eval, f"open({str(c)!r}, 'w')")))
add("pickle", "exec", lambda c: pickle.dumps(Call(builtins.exec, f"open({str(c)!r}, 'w')")))
add("pickle", "open", lambda c: pickle.dumps(Call(builtins.open, str(c), "w")))
add("pickle", "import", plain(call("builtins.__import__", text("antigravity"))))
add("pickle", "getattr", plain(call("builtins.getattr", text("a") + text("upper"))))
add("pickle", "python-2-eval", lambda c: b"c__builtin__\neval\n(S\"open('" + str(c).encode() + b"','w')\"\ntR.")
add("pickle", "runpy", lambda c: pickle.dumps(Call(runpy.run_path, str(c))))
add("pickle", "inst", lambda c: b"(S'touch " + str(c).encode() + b"'\nios\nsystem\n.")
add("pickle", "obj", lambda c: b"(cos\nsystem\nS'touch " + str(c).encode() + b"'\no.")
add("pickle", "stack-global", lambda c: plain(text("os") + text("system") + b"\x93(" + text(f"touch {c}") + b"tR", 4))
add("pickle", "stack-global-dotted", plain(text("builtins") + text("dict.fromkeys") + b"\x93(" + text("ab") + b"tR", 4))
add("pickle", "newobj", plain(b"csubprocess\nPopen\n(" + text("true") + b"t\x81"))
add("pickle", "newobj-ex", plain(b"cargparse\nNamespace\n)}" + b"\x92", 4))
add("pickle", "named-not-called", plain(b"}" + text("run") + b"cos\nsystem\ns"))
add("pickle", "numpy-load", plain(call("numpy.load", text("x.npy") + b"N" + b"\x88")))
add("pickle", "numpy-runstring", plain(call("numpy.testing._private.utils.runstring", text("1") + b"}")))
add("pickle", "numpy-memmap", plain(call("numpy.memmap", text("/etc/passwd"))))
add("pickle", "numpy-object-array", lambda c: pickle.dumps(np.array([Call(os.system, f"touch {c}")], dtype=object), 2))
add(
    "pickle", "numpy-object-scalar", plain(call("numpy.core.multiarray.scalar", call("numpy.dtype", text("O8")) + b"N"))
)
add("pickle", "torch-load", plain(call("torch.load", text("x.pth"))))
add("pickle", "torch-tensor", pickle.dumps(torch.ones(2)))
add("pickle", "partial", plain(call("functools.partial", b"cos\nsystem\n")))
add("pickle", "methodcaller", plain(call("operator.methodcaller", text("system"))))
add("pickle", "codecs-decode", plain(call("_codecs.decode", text("41") + text("hex"))))
add("pickle", "zlib", plain(call("zlib.decompress", text("x"))))
add("pickle", "extension-registry", plain(call("copyreg.add_extension", text("os") + text("system") + number(7))))
add("pickle", "extension-code", plain(b"\x82\x07"))
add("pickle", "persistent-id", b"P1\n.")
add("pickle", "buffer-out-of-band", plain(b"\x97", 5))
add("pickle", "terminal-escape", plain(b"c\x1b[2Jos\nsystem\n"))
add("pickle", "build-on-a-class", plain(b"cargparse\nNamespace\n}" + text("x") + b"K\x01sb"))
add("pickle", "slots-of-a-record", plain(b"cVocab\nVocabulary\n)\x81N}" + text("__class__") + b"K\x01s\x86b"))
add("pickle", "callable-attribute", plain(b"cVocab\nVocabulary\n)\x81}" + text("word2idx") + b"cos\nsystem\nsb"))
add("pickle", "names-of-attributes-no-text", plain(b"cVocab\nVocabulary\n)\x81}K\x01K\x01sb"))
add(
    "pickle", "reconstructor-of-another", plain(call("copyreg._reconstructor", b"cbuiltins\nset\ncbuiltins\nobject\nN"))
)
add("pickle", "object-itself", plain(call("builtins.object", b"")))
add("pickle", "function-as-argument", plain(call("builtins.set", b"cos\nsystem\n")))

# Pickles that are damaged, or none.
_SOUND = pickle.dumps({"word2idx": {f"w{n}": n for n in range(50)}}, 2)
add("pickle", "empty", b"")
add("pickle", "nothing-but-a-protocol", b"\x80\x04")
add("pickle", "protocol-200", plain(b"N", 200))
add("pickle", "truncated", _SOUND[: len(_SOUND) // 2])
add("pickle", "goes-on", _SOUND + b"more")
add("pickle", "noise", np.random.default_rng(0).bytes(4096))
add("pickle", "prose", b"This is a README, and no checkpoint.\n" * 20)
add("pickle", "html", b"<!DOCTYPE html><html><body>404 Not Found</body></html>")
add("pickle", "stack-underflow", plain(b"\x86"))
add("pickle", "stack-empty-at-the-end", plain(b""))
add("pickle", "stack-left-over", plain(b"NN"))
add("pickle", "mark-absent", plain(b"t"))
add("pickle", "memo-absent", plain(b"h\x05"))
add("pickle", "append-to-a-tuple", plain(b")K\x01a"))
add("pickle", "items-of-a-list", plain(b"]K\x01K\x02s"))
add("pickle", "items-odd", plain(b"}(K\x01u"))
add("pickle", "key-twice", plain(b"}(" + (text("a") + b"K\x01") * 2 + b"u"))
add("pickle", "key-unhashable", plain(b"}]K\x01s"))
add("pickle", "key-record", plain(b"}cargparse\nNamespace\n)\x81K\x01s"))
add("pickle", "text-no-utf-8", plain(b"X\x02\x00\x00\x00\xff\xfe"))
add("pickle", "number-no-digits", b"Ix\n.")
add("pickle", "string-no-quotes", b"Sx\n.")

# Pickles that are small and want much.
add("pickle", "text-of-4-gb", plain(b"X\xff\xff\xff\xffab"))
add("pickle", "text-of-4-eb", plain(b"\x8d" + struct.pack("<Q", 2**62) + b"ab", 4))
add("pickle", "bytes-of-4-eb", plain(b"\x8e" + struct.pack("<Q", 2**62) + b"ab", 4))
add("pickle", "bytearray-of-4-eb", plain(b"\x96" + struct.pack("<Q", 2**62) + b"ab", 5))
add("pickle", "string-of-2-gb", plain(b"T\xff\xff\xff\x7fab"))
add("pickle", "number-of-2-gb", plain(b"\x8b\xff\xff\xff\x7f1"))
add("pickle", "number-of-a-megabyte", plain(b"\x8b" + struct.pack("<i", 2**20) + b"1" * 2**20))
add("pickle", "number-of-a-million-digits", b"L" + b"9" * 10**6 + b"L\n.")
add("pickle", "frame-of-an-exabyte", plain(b"\x95" + struct.pack("<Q", 2**60) + b"N", 4))
add("pickle", "bytes-by-number", plain(call("builtins.bytes", number(2**30))))
add("pickle", "bytearray-by-number", plain(call("builtins.bytearray", number(2**30))))
add("pickle", "set-by-text", plain(call("builtins.set", text("abc"))))
add("pickle", "lists-in-lists", plain(b"]" * 50_000 + b"a" * 49_999))
add("pickle", "tuples-in-tuples", plain(b")" + b"\x85" * 50_000))
add("pickle", "tuples-in-tuples-as-key", plain(b"})" + b"\x85" * 200_000 + b"Ns"))
add(
    "pickle",
    "laughs-lists",
    plain(b"](K\x01eq\x00" + b"".join(b"0](" + b"h%c" % n * 4 + b"eq%c" % (n + 1) for n in range(60))),
)
add("pickle", "laughs-tuples", plain(b"K\x01" + b"2\x86" * 200))
add("pickle", "laughs-as-key", plain(b"}K\x01" + b"2\x86" * 60 + b"Ns"))
add("pickle", "list-in-itself", plain(b"]q\x00h\x00a"))
add("pickle", "dictionary-in-itself", plain(b"}q\x00K\x01h\x00s"))
add("pickle", "record-in-itself", plain(b"cargparse\nNamespace\n)\x81q\x00}" + text("x") + b"h\x00sb"))
add("pickle", "million-sets", lambda _: plain(b"](" + b"\x8f" * 5_000_000 + b"e", 4))
add("pickle", "million-memos", lambda _: plain(b"N" + b"\x94" * 5_000_000, 4))
add(
    "pickle",
    "copies-of-bytes",
    lambda _: plain(
        b"]("
        + text("a" * 2**24)
        + b"q\x00"
        + text("latin1")
        + b"q\x01"
        + b"c_codecs\nencode\nq\x02"
        + b"h\x02h\x00h\x01\x86R" * 1000
        + b"e"
    ),
)
add(
    "pickle",
    "copies-of-a-list",
    lambda _: plain(b"(](" + b"K\x01" * 50_000 + b"eq\x00" + (b"cbuiltins\nset\nh\x00\x85R") * 1000 + b"l"),
)
add(
    "pickle",
    "colliding-keys",
    lambda _: plain(
        b"}(" + b"".join(b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"N" for n in range(1, 50_000)) + b"u"
    ),
)


def array(shape: bytes, dtype: bytes, raw: bytes, order: bytes = b"\x89") -> bytes:
    """Return the pickle of an array of this state."""
    start = call("numpy.core.multiarray._reconstruct", b"cnumpy\nndarray\nK\x00\x85" + text("b"))
    return plain(start + b"(K\x01" + shape + dtype + order + b"B" + struct.pack("<I", len(raw)) + raw + b"tb", 3)


F4 = call("numpy.dtype", text("f4"))
add("pickle", "letters-of-four-bytes", lambda _: plain(text("a" * (2**25 - 30) + "\U0001f415") + b"N"))
add("pickle", "array-huge", array(number(2**30) * 2 + b"\x86", F4, b"1234"))
add("pickle", "array-huge-and-empty", array(number(0) + number(2**30) + b"\x86", call("numpy.dtype", text("S0")), b""))
add("pickle", "array-too-short", array(number(3) + b"\x85", F4, b"1234"))
add("pickle", "array-negative", array(number(-1) + b"\x85", F4, b"1234"))
add("pickle", "array-of-many-dimensions", array(b"(" + number(1) * 100 + b"t", F4, b"1234"))
add("pickle", "array-shape-no-number", array(text("1") + b"\x85", F4, b"1234"))
add("pickle", "array-of-nothing", array(b"N", F4, b"1234"))
add("pickle", "array-structured", array(number(1) + b"\x85", call("numpy.dtype", text("f4,f4")), b"12345678"))
add("pickle", "array-of-times", array(number(1) + b"\x85", call("numpy.dtype", text("M8[s]")), b"12345678"))
add("pickle", "array-of-long-strings", array(number(0) + b"\x85", call("numpy.dtype", text("S2000000000")), b""))
add("pickle", "array-of-no-letters", array(number(1) + b"\x85", call("numpy.dtype", text("U1")), b"\xff" * 4))
add(
    "pickle",
    "array-beyond-float32",
    array(number(1) + b"\x85", call("numpy.dtype", text("f8")), struct.pack("<d", 1e99)),
)
add("pickle", "dtype-alone", plain(F4))
add("pickle", "dtype-with-fields", plain(F4 + b"(K\x03" + text("<") + b"N" + text("a") + b"\x85}K\x04K\x04K\x00tb"))
add("pickle", "dtype-of-another-size", plain(F4 + b"(K\x03" + text("<") + b"NNNM\x00\x10K\x04K\x00tb"))
add(
    "pickle",
    "float32-subclass",
    pickle.dumps(np.float32(1), 2).replace(b"numpy._core.multiarray", b"numpy._core.memmap"),
)

CORPUS["pickle-of-a-terabyte"] = "pickle", sparse(2**40, _SOUND)
CORPUS["pickle-folder"] = "pickle", lambda path, canary: path.mkdir()
CORPUS["pickle-pipe"] = "pickle", lambda path, canary: os.mkfifo(path)
CORPUS["pickle-absent"] = "pickle", lambda path, canary: None
CORPUS["pickle-endless-device"] = "pickle", lambda path, canary: path.symlink_to("/dev/zero")
