"""Parquet files on this machine or on a server: their columns, and their row groups, of which some are cached.

A row group of a server is kept in the cache folder once it was read, as are the columns of texts; a file whose
address contains a commit of the Hub can then be read without a network. A row group that is larger than the memory
that is meant for it is written to the cache folder once as well, from which single rows are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from vsezoo.errors import StorageError, require_package
from vsezoo.storage.addresses import is_address, open_address, show_address
from vsezoo.storage.atomic_file import explain_unwritten, prepare_file
from vsezoo.storage.cache import find_cache, identify

PURPOSE = "Reading Parquet and Arrow files"
KEPT = 128 * 2**20
"""Bytes of row groups that a process keeps in memory; one that is larger is read from the cache folder."""
AT_ONCE = 64  # rows that are copied to the cache together
BLOCK = 2**16  # bytes of a request to a server: texts and pictures take turns in a file


class RowFile:
    """A Parquet file.

    Args:
        file: path or address.

    Raises:
        OSError: of a file that cannot be read; also in the methods.
        MissingPackageError: without pyarrow.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._arrow = require_package("pyarrow", PURPOSE, show_address(file))
        self._is_remote = is_address(file)

    @cached_property
    def schema(self) -> Any:
        """The schema, a `pyarrow.Schema`."""
        return self._footer.schema.to_arrow_schema()

    @cached_property
    def starts(self) -> list[int]:
        """The first row of each row group, and at last the number of rows."""
        groups = range(self._footer.num_row_groups)
        return [0, *accumulate(self._footer.row_group(group).num_rows for group in groups)]

    def read_columns(self, names: Sequence[str]) -> Any:
        """Return columns of all rows as a `pyarrow.Table`."""
        if not self._is_remote:
            return self._parquet.read(columns=list(names), use_threads=False)
        file = self._folder / f"columns-{hashlib.sha256(repr(names).encode()).hexdigest()[:16]}.arrow"
        return self._keep(file, lambda: iter([self._parquet.read(columns=list(names), use_threads=False)]))

    def measure_texts(self, names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
        """Yield a name, the number of rows and the declared bytes of each part of columns, without reading them."""
        for index in range(self._footer.num_row_groups):
            group = self._footer.row_group(index)
            for column in map(group.column, range(group.num_columns)):
                if any(f"{column.path_in_schema}.".startswith(f"{name}.") for name in names):
                    place = f"column {column.path_in_schema} of row group {index}"
                    yield place, group.num_rows, column.total_uncompressed_size

    def read_group(self, group: int, column: str) -> Any:
        """Return a column of a row group: in memory, or mapped from the cache folder."""
        size = self.starts[group + 1] - self.starts[group]
        if self._is_remote or (size > 1 and self._measure(group, column) > KEPT):
            file = self._folder / f"{column}-{group}.arrow"
            if (table := self._map(file)) is None:
                table = self._keep(file, lambda: self._stream(group, column))
        else:  # in threads of pyarrow a process that was forked would wait for ever
            table = self._parquet.read_row_group(group, columns=[column], use_threads=False)
        return table.column(0)

    def _stream(self, group: int, column: str) -> Any:
        batches = self._parquet.iter_batches(AT_ONCE, row_groups=[group], columns=[column], use_threads=False)
        return (self._arrow.Table.from_batches([batch]) for batch in batches)

    def _measure(self, group: int, column: str) -> int:
        """Return the bytes of a column in a row group, without compression."""
        known = self._footer.row_group(group)
        parts = (known.column(index) for index in range(known.num_columns))
        return sum(part.total_uncompressed_size for part in parts if part.path_in_schema == column)

    @cached_property
    def _footer(self) -> Any:
        """The metadata at the end of the file, a `pyarrow.parquet.FileMetaData`; of a server's, kept in the cache."""
        file = self._folder / "footer.parquet" if self._is_remote else None
        if file is None:
            return self._parquet.metadata
        with suppress(OSError, self._arrow.ArrowException):
            return self._module.read_metadata(file)
        footer = self._module.read_metadata(open_address(self.file, BLOCK))
        with suppress(OSError, StorageError), prepare_file(file) as part:
            footer.write_metadata_file(str(part))
        return footer

    @cached_property
    def _parquet(self) -> Any:
        if self._is_remote:
            return self._module.ParquetFile(open_address(self.file, BLOCK), metadata=self._footer)
        return self._module.ParquetFile(self.file)  # not mapped: pages of a mapping count as memory

    @property
    def _module(self) -> Any:
        return require_package("pyarrow.parquet", PURPOSE, show_address(self.file))

    @cached_property
    def _folder(self) -> Path:
        return find_cache() / "rows" / hashlib.sha256(repr(identify(self.file)).encode()).hexdigest()

    def _map(self, file: Path) -> Any:
        """Return a table of the cache; None if it is not there."""
        with suppress(OSError, self._arrow.ArrowException):
            return self._arrow.ipc.open_file(self._arrow.memory_map(str(file))).read_all()
        return None

    def _keep(self, file: Path, read: Callable[[], Any]) -> Any:
        """Return tables together, from the cache if it can be written."""
        if (table := self._map(file)) is not None:
            return table
        try:
            with prepare_file(file) as part:
                with explain_unwritten(part):
                    sink = self._arrow.OSFile(str(part), "wb")
                self._write(sink, read())
        except StorageError:
            return self._arrow.concat_tables(list(read()))
        return self._map(file)

    def _write(self, sink: Any, tables: Iterator[Any]) -> None:
        first = next(tables)
        with sink, self._arrow.ipc.new_file(sink, first.schema) as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(table)
