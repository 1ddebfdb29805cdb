"""The forms that files of features have: `.npy`, `.npz`, safetensors, PyTorch's, HDF5, Parquet. Where their array is.

No file is unpickled: of PyTorch's, tensors alone are read (`weights_only`).
"""

from __future__ import annotations

import math
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from vsezoo.data.precomputed.collected import Piece, collect, is_of_images, order_images, read_parquet
from vsezoo.data.precomputed.region_counts import OTHERS
from vsezoo.errors import CheckpointError, DataError, first_line, list_names, require_package
from vsezoo.storage.atomic_file import replace_file
from vsezoo.storage.cache import find_cache, identify
from vsezoo.storage.plain_file import explain_unread, map_content, require_plain
from vsezoo.storage.tensor_file import TensorFile

NAMES = ("features", "image_features", "img_features", "feats", "feat", "images", "ims", "embeddings", "arr_0", "data")
"""What the array is called in a file that holds several."""

SAVE = "Save the features with numpy.save."
AGAIN = "It is truncated or damaged: copy or download it again."
LOCAL_HEADER = 30  # bytes of a member's header in a zip archive, without its name and its extra field


class Header(NamedTuple):
    """Where the array of a file is.

    Attributes:
        path: the file that holds the numbers; another one if the array had to be unpacked.
        shape: of the array.
        dtype: of its numbers.
        offset: where they begin, in bytes.
        size: how many bytes there are for them.
        is_fortran: the first index varies fastest.
        dataset: of an HDF5 file whose array is in chunks, its name; it is read by h5py then.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    size: int
    is_fortran: bool = False
    dataset: str = ""


def read_header(path: Path) -> Header:
    """Find the array of features in a file, by the ending of its name.

    Raises:
        DataError: for a file that holds none or cannot be read.
        MissingPackageError: for HDF5 without h5py.
    """
    with explain_unread(path, remedy="Check that the file exists and that you may read it."):
        require_plain(path.stat(), path)  # opening a pipe would wait for its writer
        return READERS.get(path.suffix.lower(), _read_npy)(path)


def choose_array(shapes: Mapping[str, tuple[int, ...]], path: Path) -> str:
    """Return the name of the array of features in a file of several.

    Args:
        shapes: of the arrays of fractions, by their names.
        path: the file, for the message.

    Raises:
        DataError: where there is none, or none of several is known to be the one.
    """
    found = {name: shape for name, shape in shapes.items() if len(shape) >= 2} or shapes
    known = [name for name in NAMES if name in found]
    if len(found) == 1 or known:
        return known[0] if known else next(iter(found))
    listing = list_names([f"{name} {shape}" for name, shape in shapes.items()], 6)
    problem = (
        f"contains several arrays, none of which is known to be the features: {listing}."
        if found
        else "contains no array."
    )
    raise DataError(problem, file=path, remedy=f"Call the array `features`, or save it alone. {SAVE}")


def _read_npy(path: Path) -> Header:
    with path.open("rb") as stream:
        shape, is_fortran, dtype = _read_npy_header(path, stream)
        return Header(path, shape, dtype, stream.tell(), path.stat().st_size - stream.tell(), is_fortran)


def _read_npy_header(path: Path, stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(stream)
        if version not in readers:
            raise ValueError(f"its format version is {version[0]}.{version[1]}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "created on Python 2": as the field's old files were
            return readers[version](stream)
    except Exception as error:  # NumPy evaluates the header as Python, which fails in many ways
        raise DataError(f"is not a .npy feature file: {error}.", file=path, remedy=SAVE) from None


def _read_npz(path: Path) -> Header:
    """Find the array in an archive; one that is compressed is unpacked once, to the cache folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            shapes = {}
            for name, info in members.items():
                with archive.open(info) as stream:
                    shape, _, dtype = _read_npy_header(path, stream)  # type: ignore[arg-type]  # read alone is needed
                if dtype.kind == "f" and name not in OTHERS:
                    shapes[name] = shape
                elif dtype.kind == "O" and name in NAMES:
                    raise describe_objects(path)
            if is_of_images(shapes) and not set(shapes) & set(NAMES[:-2]):
                return _read_npy(collect(path, "npz", lambda: _list_npz(path, list(shapes))))
            member = members[choose_array(shapes, path)]
            if member.compress_type != zipfile.ZIP_STORED:
                return _read_npy(_unpack(archive, member, path))
    except zipfile.BadZipFile as error:
        raise DataError(f"is not a .npz file: {error}.", file=path, remedy=AGAIN) from None
    start = _find_stored(path, member)
    with path.open("rb") as stream:
        stream.seek(start)
        shape, is_fortran, dtype = _read_npy_header(path, stream)
        return Header(path, shape, dtype, stream.tell(), start + member.file_size - stream.tell(), is_fortran)


def _find_stored(path: Path, member: zipfile.ZipInfo) -> int:
    """Return where the bytes of a member that is not compressed begin."""
    with path.open("rb") as stream:
        stream.seek(member.header_offset)
        name, extra = struct.unpack("<26xHH", stream.read(LOCAL_HEADER))
    return member.header_offset + LOCAL_HEADER + int(name) + int(extra)


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Path:
    digest = sha256(repr((identify(path), member.filename)).encode()).hexdigest()
    target = find_cache() / "features" / f"{digest}.npy"
    if not target.exists():
        with replace_file(target) as stream, archive.open(member) as source:
            copyfileobj(source, stream, 1 << 20)
    return target


def _read_safetensors(path: Path) -> Header:
    with path.open("rb") as stream:
        content = map_content(stream)
    try:
        places = TensorFile(content, path, AGAIN).places
    except CheckpointError as error:
        raise DataError(error.problem, file=path, remedy=AGAIN) from None
    known = {n: place for n, place in places.items() if "float" in place.kind and n not in OTHERS}
    if is_of_images(shapes := {name: place.shape for name, place in known.items()}) and not set(shapes) & set(NAMES):
        return _read_npy(collect(path, "safetensors", lambda: _list_tensors(path, list(shapes))))
    place = known[choose_array({name: place.shape for name, place in known.items()}, path)]
    return Header(path, place.shape, _as_numpy(place.kind, path), place.start, place.end - place.start)


def _read_torch(path: Path) -> Header:
    """Find the tensor in a file of `torch.save`, in whose archive tensors are stored as they are."""
    import torch

    command = f"`numpy.save('{path.stem}.npy', torch.load('{path.name}').numpy())`"
    try:
        found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever is wrong with it, or with what it would unpickle
        problem = f"is not a file of tensors alone that torch can map: {first_line(error)[:200]}."
        remedy = f"If you trust whoever wrote it, save it as {path.stem}.npy: {command}"
        raise DataError(problem, file=path, remedy=remedy) from None
    named = found if isinstance(found, dict) else {"data": found}
    tensors = {str(k): v for k, v in named.items() if isinstance(v, torch.Tensor) and v.is_floating_point()}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in OTHERS}
    tensor = tensors[choose_array({name: tuple(tensor.shape) for name, tensor in tensors.items()}, path)]
    size = tensor.untyped_storage().nbytes()
    with zipfile.ZipFile(path) as archive:
        records = [one for one in archive.infolist() if "/data/" in one.filename and one.file_size == size]
    if len(records) != 1 or not tensor.is_contiguous():
        problem = "contains several tensors of one size, or one that is a view of another."
        raise DataError(problem, file=path, remedy=f"Save the features alone: {command}")
    start = _find_stored(path, records[0]) + tensor.storage_offset() * tensor.element_size()
    dtype = _as_numpy(str(tensor.dtype), path)
    return Header(path, tuple(tensor.shape), dtype, int(start), tensor.numel() * tensor.element_size())


def _as_numpy(name: str, path: Path) -> np.dtype[Any]:
    try:
        return np.dtype(name.removeprefix("torch.")).newbyteorder("<")
    except TypeError:
        problem = f"contains numbers of type {name}; expected float32 or float16."
        raise DataError(problem, file=path, remedy="Save the features again with tensor.float().") from None


def _read_hdf5(path: Path) -> Header:
    h5py = require_package("h5py", "a file of features in HDF5", path)
    try:
        with h5py.File(path, "r") as file:
            found: dict[str, Any] = {}
            file.visititems(lambda name, item: found.update({name: item}) if hasattr(item, "shape") else None)
            arrays = {n: item for n, item in found.items() if item.dtype.kind == "f" and n not in OTHERS}
            if is_of_images(shapes := {name: item.shape for name, item in arrays.items()}) and not set(shapes) & set(
                NAMES
            ):
                return _read_npy(collect(path, "hdf5", lambda: _list_hdf5(path, list(shapes))))
            name = choose_array({name: item.shape for name, item in arrays.items()}, path)
            item = arrays[name]
            offset = item.id.get_offset()
            size = math.prod(item.shape) * item.dtype.itemsize
            if offset is None or item.external:  # in chunks, such as compressed ones
                return Header(path, item.shape, item.dtype, 0, size, dataset=name)
            return Header(path, item.shape, item.dtype, int(offset), min(size, path.stat().st_size - offset))
    except OSError as error:
        raise DataError(f"is not a whole HDF5 file: {error}.", file=path, remedy=AGAIN) from None


def _read_parquet(path: Path) -> Header:
    return _read_npy(collect(path, "parquet", lambda: read_parquet(path, NAMES)))


def _list_npz(path: Path, names: list[str]) -> Iterator[Piece]:
    with np.load(path, allow_pickle=False) as archive:
        for name in order_images(path, names):
            yield archive[name], np.array([len(archive[name])]), None


def _list_tensors(path: Path, names: list[str]) -> Iterator[Piece]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as tensors:
        for name in order_images(path, names):
            regions = tensors.get_tensor(name)
            yield regions, np.array([len(regions)]), None


def _list_hdf5(path: Path, names: list[str]) -> Iterator[Piece]:
    """Yield the regions of each image, by the data set `ID` or `ID/features`."""
    with require_package("h5py", "a file of features in HDF5", path).File(path, "r") as file:
        by_id = {
            name.removesuffix(f"/{last}") if (last := name.rpartition("/")[2]) in NAMES else name: name
            for name in names
        }
        for name in order_images(path, list(by_id)):
            regions = np.asarray(file[by_id[name]])
            yield regions, np.array([len(regions)]), None


def describe_objects(path: Path) -> DataError:
    """Return the error of an array of Python objects, such as regions in different numbers, which must be unpickled."""
    stem = path.stem
    command = (
        f"`a = numpy.load('{path.name}', allow_pickle=True); numpy.savez('{stem}.npz', "
        "features=numpy.concatenate(list(a)), lengths=[len(x) for x in a])`"
    )
    return DataError(
        "is an array of Python objects, which only unpickling reads, and that could run any code.",
        file=path,
        remedy=f"If you trust whoever wrote it, save it as {stem}.npz, with the numbers of regions: {command}",
    )


READERS: dict[str, Callable[[Path], Header]] = {
    ".npz": _read_npz,
    ".safetensors": _read_safetensors,
    ".pt": _read_torch,
    ".pth": _read_torch,
    ".h5": _read_hdf5,
    ".hdf5": _read_hdf5,
    ".parquet": _read_parquet,
}
"""By the endings of names; any other file is read as `.npy`."""
