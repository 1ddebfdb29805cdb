"""The languages of captions in Parquet and Arrow files: in a column of their own, or in the names of the columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vsezoo.data.languages import find_code, find_language_column
from vsezoo.data.pictures.row_file import PURPOSE
from vsezoo.data.pictures.text_columns import Array, Languages, encode_texts, is_text
from vsezoo.errors import DataError, require_package
from vsezoo.storage.addresses import show_address


def find_field(schema: Any) -> str:
    """Return the column that names the language of each row, or those of its captions; empty if there is none."""
    types = require_package("pyarrow.types", PURPOSE)
    names = {field.name.strip().lower(): field for field in schema}
    field = names.get(find_language_column(list(names)))
    if field is None:
        return ""
    holds_several = types.is_list(field.type) or types.is_large_list(field.type) or types.is_dictionary(field.type)
    return str(field.name) if is_text(types, field.type.value_type if holds_several else field.type) else ""


def read_languages(
    table: Any, column: str, names: Sequence[str], counts: Array, file: str, wrong: dict[int, DataError]
) -> Languages | None:
    """Return the language of each caption, row after row: that of its row, else that of its column.

    Args:
        table: the rows.
        column: the column of the languages; empty if there is none.
        names: of the columns of captions.
        counts: `(columns, rows)`, how many captions are in each cell.
        file: for messages.
        wrong: gets the errors of rows with a list of another length than their captions.
    """
    of_column = [find_code(name.strip().lower()) for name in names]
    if not column and not any(of_column):
        return None
    codes = np.repeat(np.tile(np.arange(len(names)), len(table)), counts.T.ravel())
    if column:
        words, named = _read_column(table.column(column), counts.sum(axis=0), file, wrong)
        codes = np.where(np.array([bool(word) for word in words], bool)[named], named + len(names), codes)
        of_column += words
    return Languages.join([Languages(of_column, codes)])


def _read_column(column: Any, counts: Array, file: str, wrong: dict[int, DataError]) -> tuple[list[str], Array]:
    """Return the distinct words, and the index of each caption's; of an empty one if its row names none."""
    types, compute = require_package("pyarrow.types", PURPOSE), require_package("pyarrow.compute", PURPOSE)
    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    rows = np.repeat(np.arange(len(column)), counts)
    if is_text(types, column.type):
        words, of_row = encode_texts([compute.fill_null(column, "")])
        return words, of_row[rows]
    lengths = compute.fill_null(compute.list_value_length(column), 0).to_numpy()
    for row in np.flatnonzero((lengths != counts) & (lengths > 0)).tolist():
        problem = f"row {row} has {lengths[row]} languages for {counts[row]} captions."
        remedy = "Name a language for each caption, or one for all."
        wrong.setdefault(row, DataError(problem, file=show_address(file), remedy=remedy))
    words, of_item = encode_texts([compute.fill_null(compute.list_flatten(column), "")])
    fits = lengths == counts
    named = np.full(len(rows), len(words))
    named[fits[rows]] = of_item[np.repeat(fits, lengths)]
    return [*words, ""], named
