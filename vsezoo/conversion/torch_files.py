"""Files of `torch.save`: a zip archive since torch 1.6, a sequence of pickles and numbers before.

`torch.load(weights_only=True)` reads them, but only after everything was checked: the pickle is interpreted by our own
machine with the same allow-list, and each tensor is compared with the data in the file.
"""

from __future__ import annotations

import math
import pickle
import struct
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_STORED

import numpy as np
import torch

from vsezoo.conversion import archives, pickles
from vsezoo.conversion.files import MIB, Refusal, open_file, show
from vsezoo.conversion.pickle_contents import Global, refuse_call
from vsezoo.conversion.pickle_machine import PickleMachine

LIMIT = 8192 * MIB
"""Most bytes of a file."""

MEMBERS = 20_000
COPIES = 4
"""How often the bytes of a file may be repeated in its tensors, which can share storages."""

NOUN = "a file of torch.save"
MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the start of files before torch 1.6, a pickle of a number
FORMAT = 1001

WIDTHS = {
    **dict.fromkeys(("Double", "Long"), 8),
    **dict.fromkeys(("Float", "Int"), 4),
    **dict.fromkeys(("Half", "BFloat16", "Short"), 2),
    **dict.fromkeys(("Byte", "Char", "Bool"), 1),
}
"""Bytes per element of each type of storage."""

STORAGES = {f"torch{device}.{kind}Storage": width for device in ("", ".cuda") for kind, width in WIDTHS.items()}


@dataclass(frozen=True)
class _Storage:
    """A storage while a file is checked: number of elements and bytes per element."""

    length: int
    width: int


class _Tensor:
    """Stands for a tensor while a file is checked."""


def read_torch(path: str | Path) -> Any:
    """Read a file of `torch.save`; nothing in it is executed.

    Tensors are on the CPU, do not share memory, and have the dtype of the file. An `argparse.Namespace` and an object
    of any class named `Vocabulary` become a `Record`; a `str` of Python 2 is decoded as Latin-1.

    Returns:
        a tree of plain containers, numbers, strings, arrays, tensors and records.

    Raises:
        CheckpointError: for a file that is damaged, refers to anything else, or lacks data of its tensors.
    """
    with open_file(Path(path), NOUN, LIMIT) as stream:
        start = stream.read(len(MAGIC))
        if start.startswith(archives.MAGIC):
            found = _check_archive(stream)
        elif start == MAGIC:
            found = _check_row(stream)
        else:
            stream.seek(0)
            if tarfile.is_tarfile(stream):
                raise Refusal(
                    "is a tar archive, the format of torch before its first release.",
                    "Load it with a torch of 2017 to 2018, and save it again.",
                )
            raise Refusal(f"is not {NOUN}.", f"Give {NOUN}.")
        stream.seek(0)
        with warnings.catch_warnings(), _allow_alone(_list_globals(found)):
            warnings.simplefilter("ignore")  # a warning about the encoding, which weights_only does respect
            try:
                return torch.load(stream, map_location="cpu", weights_only=True, encoding="latin-1")
            except pickle.UnpicklingError as error:  # the message of torch fills a page
                reason = str(error).partition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
                raise Refusal(f"cannot be read by torch: {show(reason or error)}.") from error


class _Checker:
    """Checks the storages and tensors in the pickle of a file.

    Args:
        size: bytes of the file.
        lengths: bytes of each storage in the file, by key; None: they follow after the pickle.
    """

    def __init__(self, size: int, lengths: Mapping[str, int] | None = None) -> None:
        self.storages: dict[str, _Storage] = {}
        self._lengths = lengths
        self._left = COPIES * size + MIB
        self.names: dict[str, Callable[..., Any]] = {
            **dict.fromkeys(STORAGES, refuse_call),
            "torch._utils._rebuild_parameter": self._rebuild_parameter,
            "torch._utils._rebuild_tensor": self._rebuild_tensor,
            "torch._utils._rebuild_tensor_v2": self._rebuild_tensor,
        }

    def load_persistent(self, identity: Any) -> _Storage:
        """Return the storage of a persistent id: `("storage", type, key, location, length)`, possibly with a view."""
        if type(identity) is not tuple or len(identity) < 5 or identity[0] != "storage":
            raise Refusal("has a persistent id that is not a storage of torch.")
        _, kind, key, location, length, *view = identity
        sound = type(kind) is Global and type(key) is str and type(location) is str and _is_size(length)
        if not sound or kind.name not in STORAGES:
            raise Refusal("describes a storage in a way that torch does not write.")
        storage = _Storage(length, STORAGES[kind.name])
        if self._lengths is not None and self._lengths.get(key) != storage.length * storage.width:
            held = f"{self._lengths[key]:,} bytes" if key in self._lengths else "none"
            raise Refusal(
                f"names the storage {show(key)} of {storage.length * storage.width:,} bytes but contains {held} of it."
            )
        if self.storages.setdefault(key, storage) != storage:
            raise Refusal(f"describes the storage {show(key)} in two different ways.")
        return self._view(storage, *view)

    def _view(self, storage: _Storage, view: Any = None) -> _Storage:
        if view is None:
            return storage
        _, offset, length = view
        if not _is_size(offset) or not _is_size(length) or offset + length > storage.length:
            raise Refusal("has a view that exceeds its storage.")
        return _Storage(length, storage.width)

    def _rebuild_tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None
    ) -> _Tensor:
        if type(storage) is not _Storage or type(requires_grad) is not bool or hooks:
            raise Refusal("has a tensor that is not built from a storage.")
        sizes = type(size) is tuple and type(stride) is tuple and len(size) == len(stride) <= 16
        if not sizes or not all(map(_is_size, (offset, *size, *stride))):
            raise Refusal(f"has a tensor of the invalid shape {show(size)}.")
        length = math.prod(size)
        end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if length else offset
        if end > storage.length or length > storage.length:
            raise Refusal(f"has a tensor of shape {show(size)} that exceeds its storage of {storage.length:,} numbers.")
        self._left -= length * storage.width
        if self._left < 0:
            raise Refusal("has tensors that repeat its numbers so often that they would exhaust memory.")
        return _Tensor()

    def _rebuild_parameter(self, tensor: Any, requires_grad: Any, hooks: Any) -> _Tensor:
        if type(tensor) is not _Tensor or type(requires_grad) is not bool or hooks:
            raise Refusal("has a parameter that is not built from a tensor.")
        return tensor


def _check_archive(stream: BinaryIO) -> dict[str, Callable[..., Any]]:
    archive = archives.require_archive(stream, MEMBERS)
    members = {member.filename: member for member in archive.infolist()}
    top = next(iter(members)).partition("/")[0]
    content = members.get(f"{top}/data.pkl")
    if f"{top}/constants.pkl" in members:
        raise Refusal("is a program of TorchScript, not the weights of a model.", f"Give {NOUN}.")
    if content is None:
        raise Refusal(f"is a zip archive, but not {NOUN}: it has no data.pkl.", f"Give {NOUN}.")
    for name, member in members.items():
        if member.compress_type != ZIP_STORED:
            raise Refusal(f"has the compressed member {show(name)}, which torch does not write.")
    if content.file_size > pickles.LIMIT:
        raise Refusal(f"has a pickle of {content.file_size:,} bytes; at most {pickles.LIMIT:,} are allowed.")
    folder = f"{top}/data/"
    checker = _Checker(
        stream.seek(0, 2),
        {name.removeprefix(folder): member.file_size for name, member in members.items() if name.startswith(folder)},
    )
    return _check_pickle(BytesIO(archive.read(content)), checker)


def _check_row(stream: BinaryIO) -> dict[str, Callable[..., Any]]:
    size = stream.seek(0, 2)
    stream.seek(0)
    head = BytesIO(stream.read(pickles.LIMIT))
    run = partial(_run, head)
    run()  # the magic number
    if run() != FORMAT:
        raise Refusal("has an unknown version of torch's format.")
    run()  # facts about the machine that wrote it
    checker = _Checker(size)
    found = _check_pickle(head, checker)
    keys = run()
    if type(keys) is not list or sorted(map(str, keys)) != sorted(checker.storages) or len(set(keys)) != len(keys):
        raise Refusal("does not list the storages of its tensors.")
    place = head.tell()
    for key in keys:
        storage = checker.storages[key]
        stream.seek(place)
        (length,) = struct.unpack("<q", stream.read(8))
        if length != storage.length:
            raise Refusal(f"names the storage {show(key)} of {storage.length:,} numbers but contains {length:,} of it.")
        place += 8 + storage.length * storage.width
        if place > size:
            raise Refusal(f"ends {place - size:,} bytes before the end of its storage {show(key)}.")
    if place != size:
        raise Refusal(f"has {size - place:,} bytes after its last storage.")
    return found


def _check_pickle(stream: BytesIO, checker: _Checker) -> dict[str, Callable[..., Any]]:
    machine = PickleMachine(stream, checker.names, checker.load_persistent, protocols=(2,))
    pickles.require_tree(machine.run(), leaves=(_Tensor,))
    return machine.found


def _run(stream: BytesIO) -> Any:
    return PickleMachine(stream, protocols=(2,)).run()


@contextmanager
def _allow_alone(things: list[Any]) -> Iterator[None]:
    """Make exactly these names known to torch: with two objects for one name, it might use either."""
    before = torch.serialization.get_safe_globals()
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(things)
    try:
        yield
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def _list_globals(found: Mapping[str, Callable[..., Any]]) -> list[Any]:
    """Return our objects for names in a file that torch does not know, in the form that torch accepts."""
    ours: dict[str, Any] = {
        name: thing for name, thing in found.items() if not name.startswith(("torch.", "collections."))
    }
    for name in found:
        if name.startswith("torch.cuda."):  # unknown to torch without CUDA
            ours[name] = torch.serialization.StorageType(name.removeprefix("torch.cuda."))  # type: ignore[no-untyped-call]
    # torch also looks up the classes of objects built by functions of numpy.
    for code in ("?", "S1", "U1", *np.typecodes["AllInteger"], *"efd"):
        kind = type(np.dtype(code))
        ours[f"numpy.dtypes.{kind.__name__}"] = kind
    ours["numpy.ndarray"] = np.ndarray
    return [(thing, name) for name, thing in ours.items()]


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**48
