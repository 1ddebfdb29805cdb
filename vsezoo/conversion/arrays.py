"""Files of `numpy.save` and `numpy.savez`, read as native arrays of float32, integers or strings."""

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
"""Most bytes of a file of arrays, compressed or not. The largest classic model in this format has about 100 MB."""

MEMBERS = 1000


def read_npz(path: str | Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read a file of `numpy.savez`.

    Returns:
        the arrays by name, converted by `settle`.

    Raises:
        CheckpointError: for a file that is damaged, expands to far more than its size, has an array twice, or contains
            Python objects.
    """
    with open_file(Path(path), "an .npz file of arrays", LIMIT) as stream:
        archive = require_archive(stream, MEMBERS)
        sizes = [member.file_size for member in archive.infolist()]
        packed = stream.seek(0, 2)
        # Weights are hardly compressible; a factor of a thousand is an attack.
        if sum(sizes) > min(LIMIT, 64 * MIB + 10 * packed):
            raise Refusal(f"expands from {packed:,} to {sum(sizes):,} bytes, which weights never do.")
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
            except Exception as error:  # as in `open_file`, with the name of the member
                raise Refusal(f"has the damaged member {show(member.filename)}: {show(error)}.") from error
        return arrays


def read_npy(path: str | Path) -> np.ndarray[Any, Any]:
    """Read a file of `numpy.save`: one array, converted by `settle`.

    Raises:
        CheckpointError: for a file that is damaged or contains Python objects.
    """
    with open_file(Path(path), "an .npy file of one array", LIMIT) as stream:
        size = stream.seek(0, 2)
        stream.seek(0)
        return _read_array(stream, size)


def require_dtype(dtype: np.dtype[Any], shape: Any) -> int:
    """Return the size in bytes of an array of this dtype and shape.

    Raises:
        Refusal: for a dtype that is neither a number nor a string, or an invalid shape.
    """
    if dtype.kind not in "biufSU" or dtype.itemsize == 0 or dtype.itemsize > MIB or dtype.str[1:] == "f16":
        raise Refusal(f"has an array of type {show(dtype)}; only numbers and strings are read.")
    if type(shape) is not tuple or len(shape) > 32 or not all(type(size) is int and size >= 0 for size in shape):
        raise Refusal(f"has an array of the invalid shape {show(shape)}.")
    return math.prod(shape) * dtype.itemsize


def settle(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Convert an array for the models: native byte order, and float32 for float16, float32 and float64.

    Raises:
        Refusal: for numbers beyond float32, or strings with invalid characters.
    """
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            settled = array.astype(np.float32)
        if (np.isinf(settled) & ~np.isinf(array)).any():
            raise Refusal("has an array with numbers beyond the range of float32.")
        return settled
    settled = array.astype(array.dtype.newbyteorder("="))
    if array.dtype.kind == "U" and settled.size and settled.reshape(-1).view(np.uint32).max() > 0x10FFFF:
        raise Refusal("has an array of strings with invalid characters.")
    return settled


def _read_array(stream: IO[bytes], size: int) -> np.ndarray[Any, Any]:
    start = stream.tell()
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise Refusal(f"has an array in version {version} of numpy's format, which is not for numbers and strings.")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # written by Python 2, which is expected here
        shape, _, dtype = header(stream)
    wanted = require_dtype(dtype, shape)
    held = size - (stream.tell() - start)
    if wanted != held:
        raise Refusal(f"has an array of shape {show(shape)} that needs {wanted:,} bytes but has {held:,}.")
    stream.seek(start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array = npy.read_array(stream, allow_pickle=False)
    stream.read(1)  # reading past the end makes a member of an archive compare its checksum
    return settle(array)
