"""Read the columns of a Parquet or Arrow file: ids, captions, splits and the places of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vsezoo.data.pictures.arrow_file import ArrowFile, take_column
from vsezoo.data.pictures.cells import read_captions
from vsezoo.data.pictures.columns import ImageColumns, RowNames, RowPlaces
from vsezoo.data.pictures.limits import LARGEST_TEXT, MEAN_TEXT
from vsezoo.data.pictures.row_file import PURPOSE, RowFile
from vsezoo.data.pictures.row_languages import find_field, read_languages
from vsezoo.data.pictures.rows import find_image_column
from vsezoo.data.pictures.table_columns import IMAGE_COLUMNS, SPLIT_COLUMN, find_captions
from vsezoo.data.pictures.text_columns import Array, Languages, Texts, is_text
from vsezoo.data.pictures.url_list import URL_COLUMNS, advise_download
from vsezoo.errors import DataError, ServerError, list_names, require_package
from vsezoo.storage.addresses import AddressError, show_address

IDS = ("filename", "file_name", "image_id", "img_id", "image_name", "cocoid", "id", "key")
"""Columns that name the picture of a row, the first choice first."""
WITHOUT = "of rows without a picture"
BAD = "of bad rows"
LIST_START = r"^\s*[\[(]"
"""A text that may be a list of captions."""


class FileColumns(NamedTuple):
    """The rows of a file.

    Attributes:
        images: of the rows.
        splits: as the column `split` has them, a `pyarrow.ChunkedArray`; None if there is no such column.
    """

    images: ImageColumns
    splits: Any


def read_file(file: str, label: str, left_out: Counter[str], bad: list[DataError]) -> FileColumns:
    """Read a file.

    Args:
        file: path or address.
        label: begins the ids of rows that have no name.
        left_out: counts rows without a picture, and bad rows.
        bad: gets the errors of bad rows, which are left out.

    Raises:
        DataError: for a file that cannot be read, or without a column of pictures or of captions.
        ServerError: when a server cannot be reached.
        MissingPackageError: without pyarrow.
    """
    arrow = require_package("pyarrow", PURPOSE, show_address(file))
    try:
        return _read(file, label, left_out, bad)
    except AddressError as error:
        remedy = "Check the address, and that the server can be reached; run the command again."
        raise ServerError(f"cannot be read: {error}.", file=show_address(file), remedy=remedy) from None
    except (OSError, ValueError, arrow.ArrowException) as error:
        reason = str(error).strip().split("\n")[0][:200].rstrip(".")
        problem = f"is not a complete {Path(file).suffix[1:].title()} file: {reason}."
        raise DataError(problem, file=show_address(file), remedy="Download or copy it again.") from None


def _read(file: str, label: str, left_out: Counter[str], bad: list[DataError]) -> FileColumns:
    source: RowFile | ArrowFile = ArrowFile(file) if file.endswith(".arrow") else RowFile(file)
    schema = source.schema
    holder = find_image_column(schema)
    names = {field.name.strip().lower(): field.name for field in schema}
    columns = [names[name] for name in find_captions(Path(show_address(file)), "", list(names))]
    paths = _find_paths(schema, holder, names)
    if not holder and not paths:
        raise _describe_columns(file, schema)
    id_column, split_column = next((names[name] for name in IDS if name in names), ""), names.get(SPLIT_COLUMN, "")
    language = find_field(schema)
    wanted = list(dict.fromkeys(filter(None, [*columns, paths, id_column, split_column, language])))
    for place, rows, size in source.measure_texts(wanted):
        if size > LARGEST_TEXT + rows * MEAN_TEXT:
            problem = f"{place} has {size:,} bytes of text in {rows:,} rows, too many for ids and captions."
            raise DataError(problem, file=show_address(file), remedy="Leave such texts out of the file.")
    table = source.read_columns(wanted).combine_chunks()  # the chunks of row groups take half as much again
    wrong: dict[int, DataError] = {}
    read = [_read_captions(table.column(name), file, wrong) for name in columns]
    captions, counts = _join(read, len(table))
    languages = read_languages(table, language, columns, np.stack([of_column for _, of_column in read]), file, wrong)
    ids = _name_rows(table, [id_column, paths] if holder else [paths], label, file, None if holder else wrong)
    places = None
    if holder:
        spans = source.find_spans(holder) if isinstance(source, ArrowFile) else None
        places = RowPlaces([file], np.zeros(len(table), np.int32), np.arange(len(table), dtype=np.int32), spans)
    unique = Texts(ids) if ids is not None or places is None else RowNames([label], places)
    images = ImageColumns(unique, Texts(captions, clean=True), counts, places, languages)
    splits = table.column(split_column) if split_column else None
    absent = places.spans[:, 1] < 0 if places is not None and places.spans is not None else np.zeros(len(table), bool)
    if wrong or absent.any():
        is_bad = np.zeros(len(table), bool)
        is_bad[list(wrong)] = True
        left_out[WITHOUT] += int((absent & ~is_bad).sum())
        left_out[BAD] += len(wrong)
        bad += [error for _, error in sorted(wrong.items())]
        kept = np.flatnonzero(~absent & ~is_bad)
        images, splits = images.take(kept), splits.take(kept) if splits is not None else None
    return FileColumns(images, splits)


def _read_captions(column: Any, file: str, wrong: dict[int, DataError]) -> tuple[Any, Array]:
    """Return the captions of a column, as large strings, and how many each row has, 1 or more.

    Rows with something else are added to `wrong`, and have an empty caption.
    """
    arrow = require_package("pyarrow", PURPOSE)
    compute, types = require_package("pyarrow.compute", PURPOSE), arrow.types
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    is_list = types.is_list(column.type) or types.is_large_list(column.type)
    if is_text(types, column.type.value_type if is_list else column.type):
        if is_list:
            counts = compute.fill_null(compute.list_value_length(column), 0).to_numpy().astype(np.int32)
            texts = compute.fill_null(compute.list_flatten(column).cast(arrow.large_string()), "")
            if counts.min(initial=1) > 0:
                return texts, counts
        else:
            texts = column.cast(arrow.large_string())
            texts = compute.fill_null(texts, "") if texts.null_count else texts
            if not compute.any(compute.match_substring_regex(texts, LIST_START)).as_py():
                return texts, np.ones(len(texts), np.int32)
    found = []
    for row, value in enumerate(column.to_pylist()):
        try:
            found.append(read_captions(value))
        except ValueError as error:
            remedy = "Correct the row, or call the captions `caption`."
            wrong[row] = DataError(f"row {row} has {error}.", file=show_address(file), remedy=remedy)
            found.append([""])
    flat = arrow.array([text for texts in found for text in texts], arrow.large_string())
    return arrow.chunked_array([flat]), np.array([len(texts) for texts in found], np.int32)


def _join(columns: Sequence[tuple[Any, Array]], rows: int) -> tuple[Any, Array]:
    """Return the captions of several columns together, row after row."""
    if len(columns) == 1:
        return columns[0]
    arrow = require_package("pyarrow", PURPOSE)
    of_row = np.concatenate([np.repeat(np.arange(rows), counts) for _, counts in columns])
    texts = arrow.chunked_array([chunk for column, _ in columns for chunk in column.chunks], arrow.large_string())
    counts: Array = np.stack([counts for _, counts in columns]).sum(axis=0, dtype=np.int32)
    return texts.take(np.argsort(of_row, kind="stable")), counts


def _name_rows(table: Any, columns: Sequence[str], label: str, file: str, wrong: dict[int, DataError] | None) -> Any:
    """Return an id for each row: the first of the columns that has one, else made from the row; None: all are so.

    If ids are paths of files, rows without one are added to `wrong`.
    """
    arrow = require_package("pyarrow", PURPOSE)
    compute = require_package("pyarrow.compute", PURPOSE)
    choices = []
    for column in filter(None, columns):
        values = take_column(table, column)
        try:
            choices.append(values.cast(arrow.large_string()))
        except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError):  # such as lists, or bytes that are not UTF-8
            texts = [None if value is None else str(value) for value in values.to_pylist()]
            choices.append(arrow.chunked_array([arrow.array(texts, arrow.large_string())]))
    if wrong is not None:
        for row in np.flatnonzero(choices[0].is_null().to_numpy()).tolist() if choices[0].null_count else ():
            remedy = "Write the path of its file there."
            wrong[row] = DataError(f"row {row} names no picture.", file=show_address(file), remedy=remedy)
        return compute.fill_null(choices[0], "")
    choices = [values for values in choices if values.null_count < len(values)]
    if not choices:
        return None
    numbers = arrow.array(np.arange(len(table))).cast(arrow.large_string())
    start, between = (arrow.scalar(text, arrow.large_string()) for text in (label, "/"))
    made = compute.binary_join_element_wise(start, numbers, between)
    return compute.coalesce(*choices, arrow.chunked_array([made]))


def _find_paths(schema: Any, holder: str, names: dict[str, str]) -> str:
    """Return the column of the paths: `image.path` next to the bytes, or a text column with the name of one."""
    types = require_package("pyarrow.types", PURPOSE)
    if holder.endswith(".bytes"):
        parent = schema.field(holder.removesuffix(".bytes")).type
        return f"{holder.removesuffix('bytes')}path" if "path" in {one.name for one in parent} else ""
    return next((names[n] for n in IMAGE_COLUMNS if n in names and is_text(types, schema.field(names[n]).type)), "")


def _describe_columns(file: str, schema: Any) -> DataError:
    if any(field.name.strip().lower() in URL_COLUMNS for field in schema):
        problem = "lists the addresses of pictures, as LAION does, and the pictures are missing."
        names = [field.name for field in schema]
        return DataError(problem, file=show_address(file), remedy=advise_download(Path(show_address(file)), names))
    for field in schema:
        if field.name.strip().lower() in IMAGE_COLUMNS:
            problem = f"has a column {field.name!r} of {field.type}, not of bytes, {{bytes, path}} or paths."
            remedy = "Write the bytes of picture files, such as PNG, or their paths."
            return DataError(problem, file=show_address(file), remedy=remedy)
    listing = list_names([f"{field.name} ({field.type})" for field in schema], 8)
    return DataError(
        f"has no column of pictures (bytes, or {{bytes, path}}) or of paths; its columns are {listing}.",
        file=show_address(file),
        remedy="Call the column of the pictures `image`, and that of the captions `caption`.",
    )


def join_images(parts: Sequence[ImageColumns]) -> ImageColumns:
    """Return the images of several files together."""
    arrow = require_package("pyarrow", PURPOSE)

    def join(columns: Sequence[Sequence[str]], *, clean: bool) -> Texts:
        chunks: list[Any] = []
        for column in columns:
            chunks += column.column.chunks if isinstance(column, Texts) else [arrow.array(column, arrow.large_string())]
        return Texts(arrow.chunked_array(chunks, arrow.large_string()), clean=clean)

    found = [part.places for part in parts if part.places is not None]
    places = RowPlaces.join(found) if found else None
    names: Texts | RowNames
    if places is not None and all(isinstance(part.names, RowNames) for part in parts):
        labels = [label for part in parts if isinstance(part.names, RowNames) for label in part.names.labels]
        names = RowNames(labels, places)
    else:
        names = join([part.names for part in parts], clean=False)
    captions = join([part.captions for part in parts], clean=True)
    languages = None
    if any(part.languages for part in parts):
        unknown = (Languages([""], np.zeros(len(part.captions), np.int16)) for part in parts)
        languages = Languages.join([part.languages or none for part, none in zip(parts, unknown, strict=True)])
    return ImageColumns(names, captions, np.concatenate([part.counts for part in parts]), places, languages)
