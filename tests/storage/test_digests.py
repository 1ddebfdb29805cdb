"""Digests of files: what is recorded of them, and that a file that differs is named."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from vsezoo.errors import CheckpointError
from vsezoo.storage.digests import digest_files, verify_files


def test_digests_are_size_and_sha256(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_files(tmp_path) == {"a": {"size": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"abd", "was altered"), (b"abcd", "has 4 bytes instead of 3"), (b"", "has 0 bytes"), (None, "is missing")],
)
def test_a_file_that_differs_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    digests = digest_files(tmp_path)
    verify_files(tmp_path, digests)
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        verify_files(tmp_path, digests)
    assert caught.value.file == str(file)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["../a", "..", ".", "", "sub/a", "/etc/hostname", "a\0b", "x" * 300], ids=ascii)
def test_a_name_that_leaves_the_folder_is_not_followed(tmp_path: Path, name: str) -> None:
    """Each of the first ones exists with the digest given."""
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "a").write_bytes(b"abc")
    digest: dict[str, Any] = digest_files(tmp_path)["a"]
    with pytest.raises(CheckpointError, match="is missing"):
        verify_files(tmp_path / "folder", {name: digest})
