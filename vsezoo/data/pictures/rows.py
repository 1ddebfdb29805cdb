"""Pictures in the rows of Parquet files, which pyarrow reads a row group at a time."""

from __future__ import annotations

import bisect
import os
import threading
from collections import OrderedDict
from io import BytesIO
from typing import Any, BinaryIO

from vsezoo.data.pictures.picture_file import SKIP, AccessError, Place, require_small
from vsezoo.data.pictures.row_file import KEPT, PURPOSE, RowFile
from vsezoo.errors import DataError, ServerError, require_package
from vsezoo.storage.addresses import AddressError

IMAGE = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp", "image_bytes", "img_bytes", "bytes")
"""Columns that may contain pictures, as bytes or as `{bytes, path}`, the first choice first."""


class RowPlace(Place):
    """A picture in a Parquet file; `offset` is its row."""

    def open(self) -> BinaryIO:
        """Return a stream of the bytes.

        Raises:
            ServerError: when it cannot be read from a server.
            DataError: when the row has no picture.
            AccessError: when the file cannot be read.
            MissingPackageError: without pyarrow.
        """
        try:
            content = READER.read(self.file, self.offset)
        except AddressError as error:
            remedy = "Check that the server can be reached, and run the command again; resume training with --resume."
            raise ServerError(f"cannot be read: {error}.", file=self.name, remedy=remedy) from None
        except (OSError, ValueError, require_package("pyarrow", PURPOSE, self.name).ArrowException) as error:
            reason = str(error).strip().split("\n")[0].rstrip(".")
            remedy = f"Check that the file is complete and that you may read it, {SKIP}."
            raise AccessError(f"cannot be read: {reason}.", file=self.name, remedy=remedy) from None
        if content is None:
            raise DataError("has no picture.", file=self.name, remedy=f"Remove the row, {SKIP}.")
        require_small(len(content), self.name)
        return BytesIO(content)


class RowReader:
    """Reads pictures of rows, and keeps the last row groups within `KEPT`: the memory of a process is bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner, self._files = 0, dict[str, tuple[RowFile, str]]()
        self._groups = OrderedDict[tuple[str, int], Any]()

    def read(self, file: str, row: int) -> bytes | None:
        """Return the picture of a row, None if the cell is empty."""
        with self._lock:
            if self._owner != os.getpid():  # open files of another process are not shared
                self._owner, self._files, self._groups = os.getpid(), {}, OrderedDict()
            if file not in self._files:
                opened = RowFile(file)
                self._files[file] = opened, find_image_column(opened.schema)
            parquet, column = self._files[file]
            group = bisect.bisect_right(parquet.starts, row) - 1
            if (file, group) not in self._groups:
                self._groups[file, group] = parquet.read_group(group, column)
                while len(self._groups) > 1 and sum(one.nbytes for one in self._groups.values()) > KEPT:
                    self._groups.popitem(last=False)
            self._groups.move_to_end((file, group))
            value = self._groups[file, group][row - parquet.starts[group]].as_py()
            content: bytes | None = value["bytes"] if isinstance(value, dict) else value
            return content


READER = RowReader()


def find_image_column(schema: Any) -> str:
    """Return the dotted name of the column with the bytes of pictures; empty if there is none.

    Args:
        schema: a `pyarrow.Schema`.
    """
    types = require_package("pyarrow.types", PURPOSE)

    def holds_bytes(kind: Any) -> bool:
        return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))

    by_name = {field.name.strip().lower(): field for field in schema}
    for name in [*(name for name in IMAGE if name in by_name), *by_name]:
        field = by_name[name]
        if holds_bytes(field.type):
            return str(field.name)
        if types.is_struct(field.type):
            inner = {one.name for one in field.type if holds_bytes(one.type)}
            if "bytes" in inner:
                return f"{field.name}.bytes"
    return ""
