"""Files of Arrow, in either of their two forms, mapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vsezoo.data.pictures.row_file import PURPOSE
from vsezoo.data.pictures.text_columns import Array
from vsezoo.errors import require_package


class ArrowFile:
    """A file of Arrow; it has the methods of `RowFile` that are needed for texts.

    Args:
        file: its path.

    Raises:
        OSError: of a file that cannot be read.
        MissingPackageError: without pyarrow.
    """

    def __init__(self, file: str) -> None:
        arrow = require_package("pyarrow", PURPOSE, file)
        source = arrow.memory_map(file)
        try:
            self._table = arrow.ipc.open_stream(source).read_all()
        except arrow.ArrowInvalid:
            self._table = arrow.ipc.open_file(source).read_all()
        source.seek(0)
        self._content = source.read_buffer()
        self.schema = self._table.schema

    def read_columns(self, names: Sequence[str]) -> Any:
        """Return columns of all rows as a `pyarrow.Table`; of a dotted name, the whole struct."""
        return self._table.select(list(dict.fromkeys(name.partition(".")[0] for name in names)))

    def measure_texts(self, names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        """Yield name, number of rows and bytes of each column."""
        for name in dict.fromkeys(names):
            column = take_column(self._table, name)
            yield f"column {name}", len(column), column.nbytes

    def find_spans(self, holder: str) -> Array:
        """Return `(rows, 2)`: where the bytes of each picture start in the file, and their number, -1 for none."""
        spans = []
        for chunk in self._table.column(holder.partition(".")[0]).chunks:
            values = chunk.field("bytes") if holder.endswith(".bytes") else chunk
            data = values.buffers()[-1]
            start = data.address - self._content.address if data else 0
            if not 0 <= start <= self._content.size:
                raise ValueError("its columns are compressed; `datasets` and pyarrow write them so only if asked")
            kind = np.int64 if str(values.type).startswith("large") else np.int32
            offsets = np.frombuffer(values.buffers()[1], kind)[values.offset : values.offset + len(values) + 1]
            sizes = np.where(values.is_valid().to_numpy(zero_copy_only=False), np.diff(offsets), -1)
            spans.append(np.stack([offsets[:-1].astype(np.int64) + start, sizes], axis=1))
        return np.concatenate(spans) if spans else np.zeros((0, 2), np.int64)


def take_column(table: Any, column: str) -> Any:
    """Return a column; of a dotted name, a part of a struct."""
    name, _, inner = column.partition(".")
    values = table.column(column if column in table.column_names else name)
    return require_package("pyarrow.compute", PURPOSE).struct_field(values, inner) if inner else values
