"""Files that are made to harm or to confuse: each has a name that says how, and a function that writes it."""

from __future__ import annotations

import builtins
import io
import json
import os
import pickle
import runpy
import struct
import subprocess
import tarfile
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

Writer = Callable[[Path, Path], None]
CORPUS: dict[str, tuple[str, Writer]] = {}
"""The reader (`pickle`, `torch`, `npz`, `npy`, `vocabulary`) and the writer of each file; both paths are its arguments:
that of the file, and that of one which must never come to be."""


def add(reader: str, name: str, content: bytes | Callable[[Path], bytes]) -> None:
    """Add a file of this content, or of what a function makes of the path that must never come to be."""

    def write(path: Path, canary: Path) -> None:
        path.write_bytes(content if isinstance(content, bytes) else content(canary))

    assert name not in CORPUS
    CORPUS[f"{reader}-{name}"] = reader, write


class Call:
    """Pickles as a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


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


def sparse(size: int, head: bytes) -> Writer:
    """Write a file of this size, of which only the head is on the disk."""

    def write(path: Path, canary: Path) -> None:
        path.write_bytes(head)
        os.truncate(path, size)

    return write


CORPUS["pickle-of-a-terabyte"] = "pickle", sparse(2**40, _SOUND)
CORPUS["pickle-folder"] = "pickle", lambda path, canary: path.mkdir()
CORPUS["pickle-pipe"] = "pickle", lambda path, canary: os.mkfifo(path)
CORPUS["pickle-absent"] = "pickle", lambda path, canary: None
CORPUS["pickle-endless-device"] = "pickle", lambda path, canary: path.symlink_to("/dev/zero")


# What torch wrote, or nearly.
def save(value: Any, zipped: bool = True, protocol: int = 2) -> bytes:
    """Return what `torch.save` writes."""
    stream = io.BytesIO()
    torch.save(value, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


MODEL = {"epoch": 1, "model": [OrderedDict(weight=torch.ones(4, 3))], "opt": Namespace(margin=0.2)}
ZIPPED, ROW = save(MODEL), save(MODEL, zipped=False)


def rezip(change: Callable[[dict[str, bytes]], Any] = lambda members: None, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return the archive of `MODEL` with its members changed."""
    with zipfile.ZipFile(io.BytesIO(ZIPPED)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    return pack(members, method)


def pack(members: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return an archive of members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return stream.getvalue()


def zipped_pickle(opcodes: bytes, storage: bytes = bytes(48)) -> bytes:
    """Return an archive of torch with this pickle and one storage."""
    return pack({"archive/data.pkl": plain(opcodes), "archive/version": b"3\n", "archive/data/0": storage})


def storage(
    length: bytes = number(12), key: str = "0", kind: str = "torch.FloatStorage", word: str = "storage"
) -> bytes:
    """Push the storage of a persistent id."""
    module, _, name = kind.rpartition(".")
    return b"(" + text(word) + f"c{module}\n{name}\n".encode() + text(key) + text("cpu") + length + b"tQ"


def tensor(
    size: bytes = number(4) + number(3),
    stride: bytes = number(3) + number(1),
    offset: bytes = number(0),
    hooks: bytes = b"}",
    place: bytes = b"",
) -> bytes:
    """Push a tensor."""
    state = (place or storage()) + offset + b"(" + size + b"t(" + stride + b"t\x89" + hooks
    return call("torch._utils._rebuild_tensor_v2", state)


def place_in_row(view: bytes = b"N", length: bytes = number(12)) -> bytes:
    """Push a tensor of the form before torch 1.6, whose storages come behind the pickle."""
    return tensor(place=storage(length + view))


def row(opcodes: bytes, keys: list[Any], length: int = 12) -> bytes:
    """Return a file of the form before torch 1.6 with this pickle and one storage."""
    about = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    pickles = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, about, keys)]
    return b"".join([*pickles[:3], plain(opcodes), pickles[3], struct.pack("<q", length), bytes(48)])


# What follows is one step away from these.
for sound in (zipped_pickle(tensor()), row(place_in_row(), ["0"])):
    assert torch.load(io.BytesIO(sound), weights_only=True).shape == (4, 3)

add("torch", "os-system", lambda c: save({"model": Call(os.system, f"touch {c}")}))
add("torch", "os-system-row", lambda c: save({"model": Call(os.system, f"touch {c}")}, zipped=False))
add("torch", "os-system-in-front", lambda c: ROW[:26] + pickle.dumps(Call(os.system, f"touch {c}"), 2) + ROW[26:])
add("torch", "whole-module", save({"model": torch.nn.Linear(2, 2)}))
add(
    "torch",
    "rebuild-from-type",
    zipped_pickle(call("torch._tensor._rebuild_from_type_v2", b"cos\nsystem\n" + b"N" * 3)),
)
add("torch", "sparse-tensor", save({"model": torch.eye(3).to_sparse()}))
add("torch", "wrapper-subclass", zipped_pickle(call("torch._utils._rebuild_wrapper_subclass", b"N" * 8)))
add("torch", "storage-called", zipped_pickle(call("torch.FloatStorage", number(2**30))))
add("torch", "module-source", save(MODEL, zipped=False).replace(b"storage", b"modulex", 1))
add("torch", "protocol-4", save(MODEL, protocol=4))
add("torch", "truncated-zip", ZIPPED[: len(ZIPPED) // 2])
add("torch", "truncated-row", ROW[:-20])
add("torch", "row-without-storages", ROW[:-56])
add("torch", "row-goes-on", ROW + b"more")
add("torch", "row-of-another-version", ROW.replace(b"M\xe9\x03.", b"M\xea\x03.", 1))
add("torch", "row-with-another-length", ROW[:-56] + struct.pack("<q", 2**40) + ROW[-48:])
add("torch", "row-lists-no-storage", row(place_in_row(), []))
add("torch", "row-lists-another-storage", row(place_in_row(), ["1"]))
add("torch", "row-lists-a-storage-twice", row(place_in_row(), ["0", "0"]))
add("torch", "row-lists-no-text", row(place_in_row(), [0]))
add("torch", "row-view-beyond", row(place_in_row(text("1") + number(8) + number(5) + b"\x87"), ["0"]))
add("torch", "row-of-8-tb", row(place_in_row(length=b"\x8a\x06" + (2**41).to_bytes(6, "little")), ["0"], 2**41))
add("torch", "pickle-in-front-of-a-zip", b"\x80\x02N." + ZIPPED)
add("torch", "plain-pickle", pickle.dumps({"model": 1}, 2))
add("torch", "safetensors", struct.pack("<Q", 2) + b"{}")
add("torch", "empty", b"")
add("torch", "noise", np.random.default_rng(1).bytes(5000))
add("torch", "magic-and-nothing", ROW[:15])
add("torch", "zip-of-nothing", pack({}))
add("torch", "zip-of-a-readme", pack({"readme.txt": b"hello"}))
add(
    "torch",
    "torchscript",
    rezip(lambda members: members.update({f"{next(iter(members)).split('/')[0]}/constants.pkl": b""})),
)
add("torch", "packed", rezip(method=zipfile.ZIP_DEFLATED))
add(
    "torch",
    "packed-bomb",
    lambda _: pack({"archive/data.pkl": plain(tensor()), "archive/data/0": bytes(2**26)}, zipfile.ZIP_DEFLATED),
)
add("torch", "storage-absent", zipped_pickle(tensor(place=storage(key="7"))))
add("torch", "storage-longer-than-held", zipped_pickle(tensor(place=storage(number(2**30)))))
add("torch", "storage-shorter-than-held", zipped_pickle(tensor(place=storage(number(11)))))
add("torch", "storage-negative", zipped_pickle(tensor(place=storage(number(-1)))))
add("torch", "storage-no-number", zipped_pickle(tensor(place=storage(text("12")))))
add("torch", "storage-of-another-kind", zipped_pickle(tensor(place=storage(kind="builtins.set"))))
add("torch", "storage-untyped", zipped_pickle(tensor(place=storage(kind="torch.storage.UntypedStorage"))))
add("torch", "storage-twice", zipped_pickle(b"(" + storage() + storage(number(12), kind="torch.IntStorage") + b"l"))
add("torch", "storage-alone", zipped_pickle(storage()))
add("torch", "persistent-module", zipped_pickle(tensor(place=storage(word="module"))))
add("torch", "persistent-number", zipped_pickle(b"K\x01Q"))
add("torch", "tensor-beyond-its-storage", zipped_pickle(tensor(number(5) + number(3))))
add("torch", "tensor-offset-beyond", zipped_pickle(tensor(offset=number(1))))
add("torch", "tensor-offset-negative", zipped_pickle(tensor(offset=number(-1))))
add("torch", "tensor-stride-negative", zipped_pickle(tensor(stride=number(-3) + number(1))))
add("torch", "tensor-stride-beyond", zipped_pickle(tensor(stride=number(2**30) + number(1))))
add("torch", "tensor-expanded", zipped_pickle(tensor(number(2**20) + number(2**10), number(0) + number(0))))
add("torch", "tensor-size-negative", zipped_pickle(tensor(number(-4) + number(3))))
add("torch", "tensor-strides-too-few", zipped_pickle(tensor(stride=number(1))))
add("torch", "tensor-of-40-dimensions", zipped_pickle(tensor(number(1) * 40, number(1) * 40)))
add("torch", "tensor-with-hooks", zipped_pickle(tensor(hooks=b"}" + number(1) + text("hook") + b"s")))
add("torch", "tensor-of-no-storage", zipped_pickle(tensor(place=number(1))))
add(
    "torch",
    "tensors-many",
    lambda _: zipped_pickle(
        b"(" + storage(number(2**20)) + b"q\x000" + tensor(number(2**20), number(1), place=b"h\x00") * 999 + b"l",
        bytes(2**22),
    ),
)
add("torch", "laughs", zipped_pickle(b"K\x01" + b"2\x86" * 200))
add("torch", "member-twice", lambda _: _twice("archive/data.pkl"))
add("torch", "member-leads-out", rezip(lambda members: members.update({"../evil": b""})))
add("torch", "member-absolute", rezip(lambda members: members.update({"/etc/evil": b""})))
add(
    "torch",
    "member-encrypted",
    rezip().replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
)
add("torch", "pickle-declares-3-gb", lambda _: _declare(zipped_pickle(tensor()), 0, 3 * 2**30))
add("torch", "directory-declares-3-gb", lambda _: _patch_end(zipped_pickle(tensor()), 12, struct.pack("<I", 3 * 2**30)))
add("torch", "directory-elsewhere", lambda _: _patch_end(zipped_pickle(tensor()), 16, struct.pack("<I", 2**31)))
add("torch", "many-members", lambda _: pack({f"archive/{n}": b"" for n in range(30_000)}))
add("torch", "members-overlap", lambda _: _overlap(40))
CORPUS["torch-of-holes"] = "torch", sparse(2**32, ROW)


def _twice(name: str) -> bytes:
    content = zipped_pickle(tensor())
    other = name.replace("data.pkl", "data.pkk")
    doubled = pack([*_members(content), (other, b"")])
    return doubled.replace(other.encode(), name.encode())


def _members(content: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _declare(content: bytes, index: int, size: int) -> bytes:
    """Let the directory say that a member has this size, packed and not."""
    place = -1
    for _ in range(index + 1):
        place = content.index(b"PK\x01\x02", place + 1)
    return content[: place + 20] + struct.pack("<II", size, size) + content[place + 28 :]


def _patch_end(content: bytes, offset: int, value: bytes) -> bytes:
    place = content.rindex(b"PK\x05\x06") + offset
    return content[:place] + value + content[place + len(value) :]


def _overlap(copies: int) -> bytes:
    """Return an archive whose directory lists one large member under many names."""
    content = pack({"archive/data/0": bytes(2**20)})
    start = content.index(b"PK\x01\x02")
    end = content.rindex(b"PK\x05\x06")
    entry = content[start:end]
    entries = b"".join(entry.replace(b"data/0", b"data/%c" % (48 + n)) for n in range(copies))
    tail = content[end : end + 8] + struct.pack("<HHII", copies, copies, len(entries), start) + b"\0\0"
    return content[:start] + entries + tail


def _tar(path: Path, canary: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))


CORPUS["torch-tar"] = "torch", _tar


# Arrays.
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
add("npz", "bomb-that-lies", lambda _: _declare(npz(zipfile.ZIP_DEFLATED, W=npy((2**22,), raw=bytes(2**24))), 0, 128))
add(
    "npz",
    "packed-stream-damaged",
    lambda _: npz(zipfile.ZIP_DEFLATED, W=npy((2**10,), raw=bytes(2**12))).replace(b"\xed", b"\xff"),
)
add("npz", "packed-by-bzip2", npz(zipfile.ZIP_BZIP2, W=SOUND))
CORPUS["npz-of-holes"] = "npz", sparse(2**30, npz(W=SOUND))


# Vocabularies.
def words(count: int, **changes: Any) -> dict[str, Any]:
    """Return a vocabulary as SCAN stores it, with some of it changed."""
    value = {
        "word2idx": {f"w{n}": n for n in range(count)},
        "idx2word": {str(n): f"w{n}" for n in range(count)},
        "idx": count,
    }
    return value | changes


def store(value: Any) -> bytes:
    return json.dumps(value).encode()


add("vocabulary", "json-without-word2idx", store({"idx2word": {"0": "a"}, "idx": 1}))
add("vocabulary", "json-without-idx2word", store({"word2idx": {"a": 0}, "idx": 1}))
add("vocabulary", "json-name-twice", b'{"word2idx": {"a": 0, "a": 1}, "idx2word": {"0": "a", "1": "a"}, "idx": 2}')
add("vocabulary", "json-list", store(["a"]))
add("vocabulary", "json-nested", b'{"word2idx":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
add("vocabulary", "json-number", b'{"a": ' + b"9" * 10**6 + b"}")
add("vocabulary", "json-truncated", store(words(50))[:300])
add("vocabulary", "json-no-utf-8", b'{"\xff": 1}')
add("vocabulary", "words-of-lists", store(words(2, word2idx=[1, 2])))
add("vocabulary", "id-gap", store(words(3, word2idx={"w0": 0, "w1": 1, "w3": 3})))
add("vocabulary", "id-twice", store(words(3, word2idx={"w0": 0, "w1": 1, "w2": 1})))
add("vocabulary", "id-negative", store(words(2, word2idx={"w0": 0, "w1": -1})))
add("vocabulary", "id-true", store(words(2, word2idx={"w0": False, "w1": True})))
add("vocabulary", "id-text", store(words(2, word2idx={"w0": "0", "w1": "1"})))
add("vocabulary", "id-float", store(words(2, word2idx={"w0": 0.0, "w1": 1.0})))
add("vocabulary", "inverse-differs", store(words(2, idx2word={"0": "w1", "1": "w0"})))
add("vocabulary", "inverse-longer", store(words(2, idx2word={"0": "w0", "1": "w1", "2": "w2"})))
add("vocabulary", "inverse-shorter", store(words(2, idx2word={"0": "w0"})))
add("vocabulary", "next-id-differs", store(words(10_006, idx=11_353)))
add("vocabulary", "no-words", store(words(0)))
add("vocabulary", "pickled-dictionary-from-5", pickle.dumps({"a": 5, "b": 6}))
add("vocabulary", "pickled-dictionary-of-bytes", pickle.dumps({b"a": 2, b"b": 3}))
add("vocabulary", "pickled-number", pickle.dumps(5))
add("vocabulary", "pickled-options", pickle.dumps({"margin": 0.2, "dim": 1024}, 2))
add("vocabulary", "pickled-record-without-words", plain(b"c__main__\nVocabulary\n)\x81}" + text("idx") + b"K\x01sb"))
add("vocabulary", "pickled-os-system", lambda c: pickle.dumps(Call(os.system, f"touch {c}"), 2))
add("vocabulary", "csv", b"word,id\na,0\n")
