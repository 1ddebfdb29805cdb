"""What torch wrote, or nearly."""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
from argparse import Namespace
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hostile_files.archives import declare, overlap, pack, patch_end, read_members
from hostile_files.corpus import CORPUS, Call, add, sparse
from hostile_files.opcodes import call, number, plain, text


def save(value: Any, zipped: bool = True, protocol: int = 2) -> bytes:
    """Return what `torch.save` writes."""
    stream = io.BytesIO()
    torch.save(value, stream, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


MODEL = {"epoch": 1, "model": [OrderedDict(weight=torch.ones(4, 3))], "opt": Namespace(margin=0.2)}
ZIPPED, ROW = save(MODEL), save(MODEL, zipped=False)


def rezip(change: Callable[[dict[str, bytes]], Any] = lambda members: None, method: int = zipfile.ZIP_STORED) -> bytes:
    """Return the archive of `MODEL` with its members changed."""
    members = dict(read_members(ZIPPED))
    change(members)
    return pack(members, method)


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
add("torch", "member-twice", lambda _: _repeat_pickle())
add("torch", "member-leads-out", rezip(lambda members: members.update({"../evil": b""})))
add("torch", "member-absolute", rezip(lambda members: members.update({"/etc/evil": b""})))
add(
    "torch",
    "member-encrypted",
    rezip().replace(b"PK\x01\x02\x14\x03\x14\x00\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01\x00"),
)
add("torch", "pickle-declares-3-gb", lambda _: declare(zipped_pickle(tensor()), 0, 3 * 2**30))
add("torch", "directory-declares-3-gb", lambda _: patch_end(zipped_pickle(tensor()), 12, struct.pack("<I", 3 * 2**30)))
add("torch", "directory-elsewhere", lambda _: patch_end(zipped_pickle(tensor()), 16, struct.pack("<I", 2**31)))
add("torch", "many-members", lambda _: pack({f"archive/{n}": b"" for n in range(30_000)}))
add("torch", "members-overlap", lambda _: overlap(40))
CORPUS["torch-of-holes"] = "torch", sparse(2**32, ROW)


def _repeat_pickle() -> bytes:
    packed = pack([*read_members(zipped_pickle(tensor())), ("archive/data.pkk", b"")])
    return packed.replace(b"data.pkk", b"data.pkl")


def _tar(path: Path, canary: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for name in ("storages", "tensors", "pickle"):
            archive.addfile(tarfile.TarInfo(name))


CORPUS["torch-tar"] = "torch", _tar
