"""Files of arrays, written block by block."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from vsezoo.errors import StorageError
from vsezoo.search.array_writers import TensorWriter, write_array, write_tensors
from vsezoo.storage.atomic_file import replace_file

ROWS = np.arange(60, dtype=np.float32).reshape(20, 3)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 19), unique=True, max_size=5).map(sorted))
def test_blocks_of_any_size_are_one_tensor(tmp_path: Path, cuts: list[int]) -> None:
    blocks = np.split(ROWS, cuts)
    with write_tensors(tmp_path / "a.safetensors") as file:
        for block in blocks:
            file.append("images", block)
        file.append("bytes", np.arange(5, dtype=np.uint8))
    assert file.checksum == zlib.crc32(ROWS.tobytes() + bytes(range(5)))
    found = load_file(tmp_path / "a.safetensors")
    assert list(found) == ["images", "bytes"]
    assert np.array_equal(found["images"], ROWS)
    assert found["bytes"].tolist() == [0, 1, 2, 3, 4]
    with write_array(tmp_path / "a.npy") as array:
        for block in blocks:
            array.append("images", block)
    assert np.array_equal(np.load(tmp_path / "a.npy"), ROWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npy", "a.safetensors"]


def fail_in_the_middle(write: Callable[..., Any], path: Path) -> None:
    with write(path) as file:
        file.append("images", ROWS)
        raise KeyError


@pytest.mark.parametrize("write", [write_tensors, write_array])
def test_an_error_leaves_what_was_there(tmp_path: Path, write: Callable[..., Any]) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with pytest.raises(KeyError):
        fail_in_the_middle(write, path)
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
    assert path.read_bytes() == b"before"


def test_a_link_and_what_is_no_file_stay_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    for name in ("link", "pipe"):
        with replace_file(tmp_path / name) as stream:
            stream.write(b"page")
    assert os.read(reader, 9) == b"page"
    os.close(reader)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"page"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link", "pipe"]


def test_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    """Whoever opened it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match=r"pipe: cannot be written: .*\.\nIf it is a pipe, start the program"):
        replace_file(tmp_path / "pipe").__enter__()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"file/a\.npy: cannot be written: .*\.\nCheck the path"):
        write_array(tmp_path / "file" / "a.npy").__enter__()


def test_a_full_disk() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("wants /dev/full")
    with full.open("wb", buffering=0) as stream, pytest.raises(StorageError, match=r"x: cannot be written: No space"):
        TensorWriter(Path("x"), stream)
