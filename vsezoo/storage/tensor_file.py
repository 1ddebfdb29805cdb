"""Safetensors files: mapped into memory and read from the same bytes that were hashed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from vsezoo.errors import CheckpointError
from vsezoo.storage.json_file import make_object
from vsezoo.storage.plain_file import Content

if TYPE_CHECKING:
    import torch
    from torch import Tensor

DTYPES = {
    "BOOL": ("bool", 1),
    "U8": ("uint8", 1),
    "I8": ("int8", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "U16": ("uint16", 2),
    "I16": ("int16", 2),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "U32": ("uint32", 4),
    "I32": ("int32", 4),
    "F32": ("float32", 4),
    "U64": ("uint64", 8),
    "I64": ("int64", 8),
    "F64": ("float64", 8),
    "C64": ("complex64", 8),
}
"""What torch calls each number type of the format, and its bytes."""
ONE_FILE, INDEX = "model.safetensors", "model.safetensors.index.json"
"""What other libraries call the file of a model's tensors, and the list of files where there are several."""
LENGTH_BYTES = 8
LARGEST_HEADER = 100_000_000
"""Bytes, as in the library safetensors."""
MOST_DIMENSIONS = 32
SHOWN = 80  # most characters of a name in a message


class Place(NamedTuple):
    """The position of a tensor in a file; `kind` is the name of its number type in torch."""

    kind: str
    size: int  # bytes of a number
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def dtype(self) -> torch.dtype:
        """The number type."""
        import torch

        found: torch.dtype = getattr(torch, self.kind)
        return found


class TensorFile(Mapping[str, "Tensor"]):
    """The tensors of a safetensors file by name. Each look-up creates a tensor that shares the memory of the file.

    Args:
        content: content of the file.
        file: its path, for the message.
        remedy: what to do about a damaged file.

    Raises:
        CheckpointError: for a file that is not safetensors.
    """

    def __init__(self, content: Content, file: str | Path, remedy: str) -> None:
        self._content = content
        try:
            self.places = _read_header(memoryview(content))
        except (ValueError, RecursionError) as error:
            raise CheckpointError(f"is not a safetensors file: {error}.", file=file, remedy=remedy) from error

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor."""
        import torch

        place = self.places[name]
        _, size, shape, start, end = place
        if start == end:
            return torch.empty(shape, dtype=place.dtype)
        data = self._content
        if start % size:  # some programs do not align tensors
            data, start, end = bytearray(memoryview(data)[start:end]), 0, end - start
        return torch.frombuffer(data, dtype=place.dtype, count=math.prod(shape), offset=start).reshape(shape)

    def count_elements(self) -> int:
        """Return the number of elements of all tensors."""
        return sum(math.prod(place.shape) for place in self.places.values())

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self.places)

    def __len__(self) -> int:
        """Return the number of tensors."""
        return len(self.places)


def _read_header(content: memoryview) -> dict[str, Place]:
    """Return the positions of the tensors, which must fill the file without gaps or overlaps.

    Raises:
        ValueError, RecursionError: for anything else.
    """
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    begin = LENGTH_BYTES + length
    if len(content) < LENGTH_BYTES or length > min(LARGEST_HEADER, len(content) - LENGTH_BYTES):
        raise ValueError("it has no header")
    header = json.loads(bytes(content[LENGTH_BYTES:begin]).decode(), object_pairs_hook=make_object)
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    header.pop("__metadata__", None)
    places = {name: _read_place(name, value, begin) for name, value in header.items()}
    reached = begin
    for name, place in sorted(places.items(), key=lambda item: item[1][3:]):
        if place.start != reached:
            raise ValueError(f"its tensor {name[:SHOWN]!r} does not start where the previous one ends")
        reached = place.end
    if reached != len(content):
        raise ValueError(f"its tensors end at byte {reached:,} of {len(content):,}")
    return places


def _read_place(name: str, value: Any, begin: int) -> Place:
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"its tensor {name[:SHOWN]!r} is not described")
    known = DTYPES.get(value["dtype"]) if isinstance(value["dtype"], str) else None
    if known is None:
        raise ValueError(f"its tensor {name[:SHOWN]!r} has an unknown dtype")
    shape, offsets = value["shape"], value["data_offsets"]
    if not all(isinstance(v, list) and len(v) <= MOST_DIMENSIONS and all(map(_is_size, v)) for v in (shape, offsets)):
        raise ValueError(f"its tensor {name[:SHOWN]!r} has an invalid shape or position")
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * known[1]:
        raise ValueError(f"its tensor {name[:SHOWN]!r} has a size that does not match its shape")
    return Place(*known, tuple(shape), begin + offsets[0], begin + offsets[1])


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63
