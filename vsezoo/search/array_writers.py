"""Write arrays block by block, without keeping them in memory: `.safetensors` and `.npy`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy

from vsezoo.storage.atomic_file import explain_unwritten, replace_file

HEADER = 4096
"""Length of the header of a `.safetensors` file. Sizes are known only at the end, and the format allows padding."""
NAMES = {"float32": "F32", "uint8": "U8"}
"""Names of number types in `.safetensors`."""

Array = np.ndarray[Any, np.dtype[Any]]


class TensorWriter:
    """Writes tensors to a stream as `.safetensors`; see `write_tensors`.

    Attributes:
        checksum: CRC-32 of everything appended so far.
    """

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.checksum = 0
        self._path, self._stream = path, stream
        self._tensors: dict[str, dict[str, Any]] = {}
        self._end = 0
        self._write(bytes(HEADER))

    def append(self, name: str, block: Array) -> None:
        """Append rows to a tensor, float32 or uint8. The rows of a tensor must be appended consecutively."""
        content = np.ascontiguousarray(block).reshape(-1).view(np.uint8).data
        self._write(content)
        begin, rows = self._end, 0
        if name in self._tensors:
            begin, rows = self._tensors[name]["data_offsets"][0], self._tensors[name]["shape"][0]
        self._end += len(content)
        self._tensors[name] = {
            "dtype": NAMES[block.dtype.name],
            "shape": [rows + len(block), *block.shape[1:]],
            "data_offsets": [begin, self._end],
        }
        self.checksum = zlib.crc32(content, self.checksum)

    def finish(self) -> None:
        """Write the header."""
        text = json.dumps(self._tensors).encode().ljust(HEADER - 8)
        self._stream.seek(0)
        self._write(len(text).to_bytes(8, "little") + text)

    def _write(self, content: bytes | memoryview) -> None:
        with explain_unwritten(self._path):
            self._stream.write(content)


class ArrayWriter:
    """Writes one tensor, under any name, to a stream as `.npy`."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path, self._stream = path, stream
        self._block, self._rows = np.empty((0, 0), np.float32), 0

    def append(self, name: str, block: Array) -> None:
        """Add rows."""
        if not self._rows:
            self._block = block
            self.finish()
        with explain_unwritten(self._path):
            self._stream.write(np.ascontiguousarray(block).data)
        self._rows += len(block)

    def finish(self) -> None:
        """Write the header, whose length does not depend on the number of rows: NumPy reserves space."""
        shape = (self._rows, *self._block.shape[1:])
        descr = npy.dtype_to_descr(self._block.dtype)
        with explain_unwritten(self._path):
            self._stream.seek(0)
            npy.write_array_header_1_0(self._stream, {"descr": descr, "fortran_order": False, "shape": shape})


@contextmanager
def write_tensors(path: Path) -> Iterator[TensorWriter]:
    """Context manager for a writer; the file is at `path` when the block ends without an error.

    Raises:
        StorageError: when it cannot be written; an existing file is left unchanged.
    """
    with replace_file(path) as stream:
        writer = TensorWriter(path, stream)
        yield writer
        writer.finish()


@contextmanager
def write_array(path: Path) -> Iterator[ArrayWriter]:
    """Return a writer; see `write_tensors`."""
    with replace_file(path) as stream:
        writer = ArrayWriter(path, stream)
        yield writer
        writer.finish()
