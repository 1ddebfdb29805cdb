"""Parquet and Arrow files as the Hub and the library `datasets` have them: pictures as bytes or paths, and captions."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from vsezoo.data.pictures.cells import read_captions
from vsezoo.data.pictures.listing import SPLITS, CaptionedImage, Listing, name_split
from vsezoo.data.pictures.splits import BY_COLUMN, BY_FILE, assign_splits, find_split, find_word, normalise_path
from vsezoo.data.pictures.table_file import IMAGE_COLUMNS, SPLIT_COLUMN, find_captions
from vsezoo.errors import DataError, list_names, require_package

ENDINGS = (".parquet", ".arrow")
PURPOSE = "Reading Parquet and Arrow files"
DEPTH = 3  # folders in which files are looked for: `name/train/0000.parquet`
IDS = ("filename", "file_name", "image_id", "img_id", "image_name", "cocoid", "id", "key")
"""Columns that name the picture of a row, the first choice first."""
WITHOUT = "of rows without a picture"
COMPARED = 8  # pairs of rows with one id whose pictures are compared
NAMED = 3


class Row(NamedTuple):
    """A row of a file: its id, its captions, its split (empty if unknown) and its place (None: a path to be found)."""

    name: str
    captions: list[str]
    split: str
    place: Any


def find_parquet(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `*.parquet` and `*.arrow`, in the folder or in folders in it.

    The split of a file is the name of a folder that it is in, or a word of its name: `train-00000-of-00001.parquet`.
    """
    files = [file for ending in ENDINGS for depth in range(DEPTH) for file in folder.glob(f"{'*/' * depth}*{ending}")]
    files = sorted(file for file in files if not file.name.startswith((".", "cache-")))
    return functools.partial(_read, folder, files) if files else None


def _read(folder: Path, files: Sequence[Path]) -> Listing:
    """Read the captions of all rows; pictures stay where they are."""
    named = {file: _find_split(file, folder) for file in files}
    unnamed = [file for file, split in named.items() if not split]
    if unnamed and len(unnamed) < len(named):
        raise DataError(
            "does not name a split, unlike other files.",
            file=unnamed[0],
            remedy=f"Move each file to a folder, or begin its name with one, of {', '.join(SPLITS[:3])}.",
        )
    splits: dict[str, dict[str, CaptionedImage]] = {}
    left_out = Counter[str]()
    rows = [(file, row) for file in files for row in _read_file(file, folder, left_out)]
    given = {row.split for _, row in rows}
    if not unnamed:
        rule, of_row = BY_FILE, [named[file] for file, _ in rows]
    elif given and "" not in given:
        rule, of_row = BY_COLUMN.format(SPLIT_COLUMN), [row.split for _, row in rows]
    else:
        assigned = assign_splits({row.name: row.name for _, row in rows}, folder)
        rule, of_row = assigned.rule, [assigned.splits[row.name] for _, row in rows]
    same = _are_ids(rows)
    empty = {}
    for number, ((file, row), split) in enumerate(zip(rows, of_row, strict=True)):
        name = row.name if same else f"{normalise_path(str(file.absolute()), folder)}#{number}"
        image = splits.setdefault(split, {}).setdefault(name, CaptionedImage(name, [], row.place))
        image.captions.extend(row.captions)
        if not row.captions or not all(row.captions):
            empty[name] = row.place.member if row.place else row.name
    listing = {split: list(images.values()) for split, images in splits.items()}
    return Listing(folder, files[0] if len(files) == 1 else folder, listing, "", rule, empty=empty, left_out=left_out)


def _find_split(file: Path, folder: Path) -> str:
    return find_split(file.relative_to(folder).as_posix(), folder) or find_word(file.stem)


def _are_ids(rows: Sequence[tuple[Path, Row]]) -> bool:
    """Return whether rows with the same id have the same picture: some files repeat a row for each caption.

    Pictures of some such rows are compared, because in other files a name means nothing: `image.jpg` in all rows.
    """
    first: dict[tuple[str, str], Row] = {}
    pairs = (
        (before, row)
        for file, row in rows
        if (before := first.setdefault((row.name, row.split or str(file)), row)) is not row and row.place
    )
    return all(_read_bytes(one) == _read_bytes(other) for one, other in islice(pairs, COMPARED))


def _read_bytes(row: Row) -> bytes:
    with row.place.open() as stream:
        content: bytes = stream.read()
        return content


def _read_file(file: Path, folder: Path, left_out: Counter[str]) -> Iterator[Row]:
    from vsezoo.data.pictures.rows import find_image_column  # imports numpy

    arrow = require_package("pyarrow", PURPOSE, file)
    try:
        schema, read_columns = _open(file)
        holder = find_image_column(schema)
        names = {field.name.strip().lower(): field.name for field in schema}
        columns = [names[name] for name in find_captions(file, "", list(names))]
        paths = _find_paths(schema, holder, names)
        if not holder and not paths:
            raise _describe_columns(file, schema)
        id_column = next((names[name] for name in IDS if name in names), "")
        wanted = list(dict.fromkeys(filter(None, [*columns, paths, id_column, names.get(SPLIT_COLUMN)])))
        table = read_columns(wanted)
        places = _find_places(file, holder, table, len(table))
        cells = [table.column(name).to_pylist() for name in columns]
        paths_of = _get(table, paths)
        ids, splits = _get(table, id_column), _get(table, names.get(SPLIT_COLUMN, ""))
    except (OSError, ValueError, arrow.ArrowException) as error:
        reason = str(error).strip().split("\n")[0][:200].rstrip(".")
        problem = f"is not a complete {file.suffix[1:].title()} file: {reason}."
        raise DataError(problem, file=file, remedy="Download or copy it again.") from None
    del table
    for row in range(len(cells[0])):
        name = ids[row] if ids and ids[row] is not None else paths_of[row] if paths_of else None
        if not holder:
            name = paths_of[row]
        elif places is not None and places[row] is None:
            left_out[WITHOUT] += 1
            continue
        if name is None:
            name = f"{file.relative_to(folder).with_suffix('').as_posix()}/{row}"
        try:
            captions = [caption for column in cells for caption in read_captions(column[row])]
        except ValueError as error:
            raise DataError(
                f"row {row} has {error}.", file=file, remedy="Correct the row, or call the captions `caption`."
            ) from None
        split = name_split(str(splits[row])) if splits and splits[row] is not None else ""
        yield Row(str(name), captions, split, places[row] if places is not None else None)


def _get(table: Any, column: str) -> list[Any]:
    """Return the values of a column; of pictures, their paths."""
    if not column:
        return []
    name, _, inner = column.partition(".")
    index = next((i for i, one in enumerate(table.column_names) if one in (column, name)), None)
    if index is None:
        return []
    values = table.column(index)
    if inner:
        values = values.combine_chunks().field(inner)
    return list(values.to_pylist())


def _find_paths(schema: Any, holder: str, names: dict[str, str]) -> str:
    """Return the column of the paths: `image.path` beside the bytes, or a text column with the name of one."""
    types = require_package("pyarrow.types", PURPOSE)
    if holder.endswith(".bytes"):
        parent = schema.field(holder.removesuffix(".bytes")).type
        return f"{holder.removesuffix('bytes')}path" if "path" in {one.name for one in parent} else ""
    for name in IMAGE_COLUMNS:
        if name in names and types.is_string(schema.field(names[name]).type):
            return names[name]
    return ""


def _open(file: Path) -> tuple[Any, Callable[[list[str]], Any]]:
    """Return the schema of a file, and what reads columns of it; a dotted name is a part of a column."""
    if file.suffix == ".arrow":
        table, _ = _map_arrow(file)
        return table.schema, lambda names: table.select(list(dict.fromkeys(name.partition(".")[0] for name in names)))
    parquet = require_package("pyarrow.parquet", PURPOSE, file).ParquetFile(file)
    return parquet.schema_arrow, lambda names: parquet.read(columns=names)


def _map_arrow(file: Path) -> tuple[Any, Any]:
    """Return the table of an Arrow file, in either of the two forms, and the mapped bytes that it lies in."""
    arrow = require_package("pyarrow", PURPOSE, file)
    source = arrow.memory_map(str(file))
    try:
        table = arrow.ipc.open_stream(source).read_all()
    except arrow.ArrowInvalid:
        table = arrow.ipc.open_file(source).read_all()
    source.seek(0)
    return table, source.read_buffer()


def _find_places(file: Path, holder: str, table: Any, count: int) -> list[Any] | None:
    """Return the place of each picture; None if the file has paths alone, and None for a row without one."""
    from vsezoo.data.pictures.picture_file import Place
    from vsezoo.data.pictures.rows import RowPlace

    if not holder:
        return None
    name = str(file)
    if file.suffix == ".parquet":
        return [RowPlace(name, row, -1, f"row {row}") for row in range(count)]
    places: list[Any] = []
    whole, content = _map_arrow(file)
    for chunk in whole.column(holder.partition(".")[0]).chunks:
        values = chunk.field("bytes") if holder.endswith(".bytes") else chunk
        data = values.buffers()[-1]
        start = data.address - content.address if data else 0
        if not 0 <= start <= content.size:
            raise ValueError("its columns are compressed; `datasets` and pyarrow write them so only if asked")
        offsets, valid = _read_offsets(values), values.is_valid().to_pylist()
        for row, known in enumerate(valid):
            begin, end = offsets[row], offsets[row + 1]
            places.append(Place(name, start + begin, end - begin, f"row {len(places)}") if known else None)
    return places


def _read_offsets(values: Any) -> list[int]:
    import numpy as np

    kind = np.int64 if str(values.type).startswith("large") else np.int32
    offsets = np.frombuffer(values.buffers()[1], kind)
    return [int(offset) for offset in offsets[values.offset : values.offset + len(values) + 1]]


def _describe_columns(file: Path, schema: Any) -> DataError:
    listing = list_names([f"{field.name} ({field.type})" for field in schema], 8)
    return DataError(
        f"has no column of pictures (bytes, or {{bytes, path}}) or of paths; its columns are {listing}.",
        file=file,
        remedy="Call the column of the pictures `image`, and that of the captions `caption`.",
    )
