"""Rows of a file against NumPy's own mapping of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vsezoo.data.precomputed.rows import FileRows

ARRAY = np.random.default_rng(0).random((7, 2, 3)).astype(">f4")
HEADER = b"thirteen bytes"[:13]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "array"
    path.write_bytes(HEADER + ARRAY.tobytes() + b"more")
    return path


def read(path: Path, rows: list[int]) -> np.ndarray:
    with path.open("rb") as opened:
        return FileRows(opened, ARRAY.dtype, len(HEADER), ARRAY.shape).take(np.array(rows, np.int64))


@given(rows=st.lists(st.integers(0, 6), max_size=12))
def test_any_rows_in_any_order(file: Path, rows: list[int]) -> None:
    found = read(file, rows)
    np.testing.assert_array_equal(found, ARRAY[rows])
    assert (found.shape, found.dtype) == ((len(rows), 2, 3), ARRAY.dtype)


def test_one_row_and_consecutive_ones(file: Path) -> None:
    with file.open("rb") as opened:
        rows = FileRows(opened, ARRAY.dtype, len(HEADER), ARRAY.shape)
        for key in (3, slice(2, 5), slice(4, 4), slice(5, 9)):
            np.testing.assert_array_equal(rows[key], ARRAY[key])


def test_consecutive_rows_are_read_at_once(file: Path) -> None:
    class Counting:
        reads = 0

        def __init__(self, opened: object) -> None:
            self.opened = opened

        def __getattr__(self, name: str) -> object:
            Counting.reads += name == "readinto"
            return getattr(self.opened, name)

    with file.open("rb") as opened:
        rows = FileRows(Counting(opened), ARRAY.dtype, len(HEADER), ARRAY.shape)  # type: ignore[arg-type]
        rows.take(np.array([1, 2, 3, 0, 5, 6]))
    assert Counting.reads == 3


def test_a_file_that_ends_before_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "short"
    path.write_bytes(HEADER + ARRAY.tobytes()[:-5])
    assert len(read(path, [5])) == 1
    with pytest.raises(ValueError, match="ends 5 bytes before the end of row 6"):
        read(path, [0, 5, 6])


def test_what_is_beside_the_array_is_not_read(file: Path) -> None:
    for rows in ([-1], [0, 7]):
        with pytest.raises(IndexError, match="of 7"):
            read(file, rows)
