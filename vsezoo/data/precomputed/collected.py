"""Features in pieces, collected once into one array in the cache folder: Parquet, and an array for each image.

The array is `(images, F)`, or `(all regions, F)` with the number of regions of each image next to it, as
`vsezoo.data.precomputed.region_counts` reads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from vsezoo.data.caption_file import find_runs, read_lines
from vsezoo.errors import DataError, list_names, require_package
from vsezoo.storage.atomic_folder import replace_folder
from vsezoo.storage.cache import find_cache, identify

LENGTHS, BOXES = "lengths", "boxes"
NUMBERED = re.compile(r"(?:arr_)?(\d+)")
PARTS = 3  # named in messages
HEADER = 192  # bytes of a written header: NumPy's own has 128 here, and 64 more where the shape has many digits

Array = np.ndarray[Any, np.dtype[Any]]
Piece = tuple[Array, Array | None, Array | None]
"""Rows of features `(rows, F)`; how many of them each image has, if they are regions; their boxes, if known."""


def collect(path: Path, part: str, read: Callable[[], Iterator[Piece]]) -> Path:
    """Return the file of the collected array, which is written if it does not exist.

    Args:
        path: the file that has the pieces.
        part: name of what is collected from it.
        read: yields the pieces.

    Raises:
        DataError: for pieces of different widths, or none.
    """
    digest = sha256(repr((identify(path), part)).encode()).hexdigest()
    target = find_cache() / "features" / digest / "collected.npy"
    if not target.exists():
        with replace_folder(target.parent) as folder:
            write_pieces(path, read(), folder / target.name)
    return target


def write_pieces(path: Path, pieces: Iterator[Piece], target: Path) -> None:
    """Write pieces to one array, with the numbers of regions and the boxes in files next to it.

    If all images have as many regions, the array is `(images, R, F)` and needs no numbers.

    Args:
        path: the file that has the pieces, for messages.
        pieces: as `Piece`.
        target: the `.npy` file.

    Raises:
        DataError: for pieces of different widths, or none.
    """
    rows, width, dtype = 0, 0, np.dtype(np.float32)
    counts: list[Array] = []
    boxes: list[Array] = []
    with target.open("wb") as stream:
        for features, lengths, of_piece in pieces:
            if not rows:
                width, dtype = features.shape[1], features.dtype
                stream.write(_make_header((0, width), dtype))
            if features.shape[1] != width:
                problem = f"has features of different widths: {width} and, later, {features.shape[1]}."
                raise DataError(problem, file=path, remedy="Extract all with one network.")
            stream.write(np.ascontiguousarray(features, dtype).tobytes())
            rows += len(features)
            counts += [] if lengths is None else [lengths]
            boxes += [] if of_piece is None else [of_piece]
        if not rows:
            raise DataError("contains no features.", file=path, remedy="Extract them again.")
        known = np.concatenate(counts) if counts else np.ones(0, np.int64)
        each = int(known[0]) if len(known) and bool((known == known[0]).all()) else 0
        shape = (len(known), each) if each else (rows,)
        stream.seek(0)
        stream.write(_make_header((*shape, width), dtype))
    if counts and not each:
        np.save(target.with_name(f"{target.stem}_{LENGTHS}.npy"), known)
    if boxes and sum(map(len, boxes)) == rows:
        np.save(target.with_name(f"{target.stem}_{BOXES}.npy"), np.concatenate(boxes).reshape(*shape, -1))


def _make_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Return the header of a `.npy` file, in the same length for any shape."""
    from io import BytesIO

    stream = BytesIO()
    npy.write_array_header_1_0(stream, {"descr": dtype.str, "fortran_order": False, "shape": shape})
    header = stream.getvalue()
    return header[:8] + (HEADER - 10).to_bytes(2, "little") + header[10:-1].ljust(HEADER - 11) + b"\n"


def order_images(path: Path, names: Sequence[str]) -> list[str]:
    """Return the names of arrays of one image each in the order of the images: that of the ids, or of their numbers.

    Raises:
        DataError: for names that are neither numbers nor the ids.
    """
    stem = path.name[: path.name.rindex("_ims")] if "_ims" in path.name else path.stem
    ids = path.with_name(f"{stem}_ids.txt")
    if ids.is_file():
        wanted = find_runs(read_lines(ids))[0]
        if set(wanted) == set(names):
            return wanted
        absent = [name for name in wanted if name not in set(names)]
        problem = f"has an array for each image, but {len(absent):,} ids of {ids.name} have none"
        if absent:
            problem += f": {list_names(absent, PARTS)}"
        raise DataError(f"{problem}.", file=path, remedy="Write one line for each image, or save the others as well.")
    if all(NUMBERED.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: int(name.rpartition("_")[2]))
    raise DataError(
        f"has an array for each image, by the names {list_names(list(names), PARTS)}, which do not tell their order.",
        file=path,
        remedy=f"Write {ids.name} with the name of one image on each line, in the order of the captions.",
    )


def is_of_images(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether arrays of these shapes are the regions of one image each: `(R_i, F)` with one F."""
    forms = list(shapes.values())
    return len(forms) > 1 and all(len(form) == 2 for form in forms) and len({form[1] for form in forms}) == 1


def read_parquet(path: Path, names: Sequence[str]) -> Iterator[Piece]:
    """Yield the features of each row group of a Parquet file: lists of numbers, or lists of such lists.

    Args:
        path: the file.
        names: what the column of the features may be called; of a file with one column of lists, it is that.

    Raises:
        DataError: for a file that cannot be read or has no such column, or rows of different widths.
        MissingPackageError: without pyarrow.
    """
    arrow = require_package("pyarrow", "a file of features in Parquet", path)
    try:
        with require_package("pyarrow.parquet", "a file of features in Parquet", path).ParquetFile(path) as parquet:
            lists = {one.name: one.type for one in parquet.schema_arrow if _is_list(arrow, one.type)}
            chosen = next((name for name in names if name in lists), "") or (
                next(iter(lists)) if len(lists) == 1 else ""
            )
            if not chosen:
                known = list_names(parquet.schema_arrow.names, PARTS)
                problem = (
                    f"has no column of lists of numbers that is known to be the features; its columns are {known}."
                )
                raise DataError(problem, file=path, remedy="Call it `features`.")
            other = next((name for name in ("boxes", "bboxes", "bbox") if name in lists), "")
            for group in range(parquet.num_row_groups):
                table = parquet.read_row_group(group, columns=[chosen, *([other] if other else [])])
                features, counts = _flatten(arrow, table.column(chosen), path, group)
                boxes = _flatten(arrow, table.column(other), path, group)[0] if other else None
                yield features, counts, boxes
    except (OSError, arrow.ArrowException) as error:
        reason = str(error).strip().split("\n")[0][:200].rstrip(".")
        problem = f"is not a complete Parquet file: {reason}."
        raise DataError(problem, file=path, remedy="Download or copy it again.") from None


def _is_list(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _flatten(arrow: Any, column: Any, path: Path, group: int) -> tuple[Array, Array | None]:
    """Return the numbers of a column `(rows, F)`; of lists of lists also how many rows each has."""
    values, counts = column.combine_chunks(), None
    if _is_list(arrow, values.type.value_type):
        counts = arrow.compute.fill_null(arrow.compute.list_value_length(values), 0).to_numpy().astype(np.int64)
        values = values.flatten()
    widths = arrow.compute.list_value_length(values)
    lengths = set(arrow.compute.unique(widths).to_pylist())
    if len(lengths) > 1 or None in lengths:
        problem = f"has rows of different widths in its row group {group}: {sorted(map(str, lengths))[:4]}."
        raise DataError(problem, file=path, remedy="Save lists of numbers of one length.")
    numbers = values.flatten().to_numpy(zero_copy_only=False)
    if numbers.dtype != np.float16:
        numbers = numbers.astype(np.float32, copy=False)
    return numbers.reshape(-1, lengths.pop() if lengths else 1), counts
