"""Arrays: what `numpy.save` and `numpy.savez` wrote, as native arrays of float32, whole numbers or strings."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from vsezoo.conversion.archives import require_archive
from vsezoo.conversion.files import MIB, Refusal, open_file, show

LIMIT = 1024 * MIB
"""Bytes of a file of arrays, packed or not. The largest of the classic models in this form has about 100 MB."""

MEMBERS = 1000


def read_npz(path: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read what `numpy.savez` wrote.

    Returns:
        the arrays by their names, as `settle` leaves them.

    Raises:
        CheckpointError: for a file that is damaged, unpacks to far more than it has, names an array twice, or holds
            Python objects.
    """
    with open_file(Path(path), "an .npz file of arrays", LIMIT) as stream:
        archive = require_archive(stream, MEMBERS)
        sizes = [member.file_size for member in archive.infolist()]
        packed = stream.seek(0, 2)
        # Weights hardly shrink when they are packed; a thousandfold is a trap.
        if sum(sizes) > min(LIMIT, 64 * MIB + 10 * packed):
            raise Refusal(f"unpacks to {sum(sizes):,} bytes, from {packed:,}: that is not how weights are packed.")
        arrays: dict[str, np.ndarray[Any, Any]] = {}
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise Refusal(f"has the array {show(name)} twice.")
            try:
                with archive.open(member) as content:
                    arrays[name] = _read_array(content, member.file_size)
            except Refusal as error:
                raise Refusal(f"has the member {show(member.filename)}, which {error}") from error
            except Exception as error:  # as in `open_file`; here it is known where
                raise Refusal(f"has the damaged member {show(member.filename)}: {show(error)}.") from error
        return arrays


def read_npy(path: str | Path) -> np.ndarray[Any, Any]:
    """Read what `numpy.save` wrote, one array, as `settle` leaves it.

    Raises:
        CheckpointError: for a file that is damaged or holds Python objects.
    """
    with open_file(Path(path), "an .npy file of one array", LIMIT) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        return _read_array(stream, size)


def require_dtype(dtype: np.dtype[Any], shape: Any) -> int:
    """Return the bytes of an array of this type and shape.

    Raises:
        Refusal: for a type that is neither a number nor a string, or an impossible shape.
    """
    if dtype.kind not in "biufSU" or dtype.itemsize == 0 or dtype.itemsize > MIB or dtype.str[1:] == "f16":
        raise Refusal(f"has an array of type {show(dtype)}; only numbers and strings are read.")
    if type(shape) is not tuple or len(shape) > 32 or not all(type(size) is int and size >= 0 for size in shape):
        raise Refusal(f"has an array of the impossible shape {show(shape)}.")
    return math.prod(shape) * dtype.itemsize


def settle(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return an array as the models take it: native byte order, and float32 for float16, float32 and float64.

    Raises:
        Refusal: for numbers beyond float32, or strings with letters that do not exist.
    """
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            settled = array.astype(np.float32)
        if (np.isinf(settled) & ~np.isinf(array)).any():
            raise Refusal("has an array with numbers beyond the range of float32.")
        return settled
    settled = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "U" and settled.size and settled.reshape(-1).view(np.uint32).max() > 0x10FFFF:
        raise Refusal("has an array of strings with letters that do not exist.")
    return settled


def _read_array(stream: IO[bytes], size: int) -> np.ndarray[Any, Any]:
    start = stream.tell()
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise Refusal(f"has an array in version {version} of numpy's format, which is not for numbers and strings.")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Python 2 wrote it, which is what we are here for
        shape, _, dtype = header(stream)
    wanted = require_dtype(dtype, shape)
    held = size - (stream.tell() - start)
    if wanted != held:
        raise Refusal(f"has an array of shape {show(shape)} that wants {wanted:,} bytes and has {held:,}.")
    stream.seek(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = npy.read_array(stream, allow_pickle=False)
    stream.read(1)  # past its end, a member of an archive compares its checksum
    return settle(array)
