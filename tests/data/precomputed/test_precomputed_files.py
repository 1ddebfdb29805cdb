"""Damaged and unusual caption and feature files: each gets one message, with the file and a remedy."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsezoo.data.caption_file import read_captions
from vsezoo.data.precomputed import feature_file
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.errors import DataError


def refuse_features(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        FeatureFile.open(path)
    assert caught.value.file == str(path)
    assert caught.value.remedy
    return caught.value.problem


def write_captions(folder: Path, content: bytes) -> Path:
    path = folder / "train_caps.txt"
    path.write_bytes(content)
    return path


def test_captions_are_text(tmp_path: Path) -> None:
    path = write_captions(tmp_path, "A dog's café . \r\n  two  \n\nvier\nfünf".encode())
    assert read_captions(path) == ["A dog's café .", "two", "", "vier", "fünf"]


def test_byte_order_mark_is_no_part_of_the_first_caption(tmp_path: Path) -> None:
    assert read_captions(write_captions(tmp_path, b"\xef\xbb\xbfa\nb\nc\nd\ne\n"))[0] == "a"


@pytest.mark.parametrize(
    ("content", "count"),
    [(b"a\n" * 5, 5), (b"a\n" * 5 + b"\n", 5), (b"a\n" * 5 + b"\r\n\n", 5), (b"a\n" * 4 + b"\n", 5), (b"", 0)],
)
def test_empty_lines_at_the_end_complete_a_group_of_five_or_go(tmp_path: Path, content: bytes, count: int) -> None:
    assert len(read_captions(write_captions(tmp_path, content))) == count


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), min_size=5, max_size=5))
def test_a_caption_may_hold_every_other_line_boundary(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    lines[0] = "x" + lines[0]  # not a byte order mark
    path = write_captions(tmp_path_factory.mktemp("captions"), "\n".join([*lines, ""]).encode())
    assert read_captions(path) == [line.strip() for line in lines]


def test_line_separators_of_unicode_do_not_cut_a_caption(tmp_path: Path) -> None:
    path = write_captions(tmp_path, "a\u2028b\x0bc\x0cd\x85e\nf\ng\nh\ni\n".encode())
    assert read_captions(path)[:2] == ["a\u2028b\x0bc\x0cd\x85e", "f"]


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_captions_in_latin_1_are_refused_with_their_line(tmp_path: Path, mark: bytes) -> None:
    path = write_captions(tmp_path, mark + b"one\ntwo\ncaf\xe9\nfour\nfive\n")
    with pytest.raises(DataError, match=r"train_caps\.txt: line 3 is not UTF-8") as caught:
        read_captions(path)
    assert "iconv" in caught.value.remedy


def test_absent_captions_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent_caps\.txt: cannot be read"):
        read_captions(tmp_path / "absent_caps.txt")


def test_truncated_features_are_reported_with_both_sizes(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((300, 4), np.float32))
    os.truncate(path, 4000)
    problem = refuse_features(path)
    assert "4,000 bytes" in problem
    assert "4,928" in problem  # a header of 128 bytes and 300 x 4 x 4


def test_bytes_after_the_features_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((3, 4), np.float32))
    path.write_bytes(path.read_bytes() + b"\0")
    assert "177 bytes" in refuse_features(path)


@pytest.mark.parametrize(
    ("array", "word"),
    [
        (np.ones((2, 3), np.int64), "int64"),
        (np.ones((2, 3), bool), "bool"),
        (np.ones((2, 3), complex), "complex128"),
        (np.ones((2, 3), [("x", "f4")]), "x"),
        (np.ones(6, np.float32), "(6,)"),
        (np.float32(1), "()"),
        (np.ones((1, 2, 3, 4), np.float32), "(1, 2, 3, 4)"),
        (np.ones((0, 3), np.float32), "(0, 3)"),
        (np.ones((2, 0, 3), np.float32), "(2, 0, 3)"),
        (np.asfortranarray(np.ones((2, 3), np.float32)), "Fortran"),
    ],
)
def test_arrays_that_are_no_features_are_refused(tmp_path: Path, array: np.ndarray, word: str) -> None:
    path = tmp_path / "a.npy"
    np.save(path, array)
    assert word in refuse_features(path)


class Trap:
    """Leaves a file behind if it is ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_objects_are_refused_and_not_unpickled(tmp_path: Path) -> None:
    path, sprung = tmp_path / "a.npy", tmp_path / "sprung"
    np.save(path, np.array([[Trap(sprung)]], dtype=object), allow_pickle=True)
    assert "object" in refuse_features(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUM",
        b"version https://git-lfs.github.com/spec/v1\n",
        b"PK\x03\x04" + bytes(100),
        b"\x93NUMPY\x01\x00\xff\x00{'descr'",
        b"\x93NUMPY\x01\x00\x08\x00{'a': (\n",
        b"\x93NUMPY\x03\x00\x01\x00\x00\x00{",
        b"\x93NUMPY\x09\x09",
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    assert "not a .npy feature file" in refuse_features(path)


@pytest.mark.slow
@settings(deadline=None)
@given(st.binary(max_size=80))
def test_no_header_ends_in_a_traceback(tmp_path_factory: pytest.TempPathFactory, header: bytes) -> None:
    path = tmp_path_factory.mktemp("headers") / "a.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    refuse_features(path)


def test_header_written_by_python_2_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 3L), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + np.ones(6, "<f4").tobytes())
    assert FeatureFile.open(path).read([1]).tolist() == [[1, 1, 1]]


def test_folder_in_place_of_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.npy").mkdir()
    assert "cannot be read" in refuse_features(tmp_path / "a.npy")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may read every file")
def test_file_without_permission_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((2, 3), np.float32))
    path.chmod(0)
    assert "cannot be read" in refuse_features(path)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 65504, -0.0])
@pytest.mark.parametrize("place", [0, 7, 14])
def test_only_infinity_and_nan_are_refused(
    monkeypatch: pytest.MonkeyPatch, dtype: str, value: float, place: int
) -> None:
    monkeypatch.setattr(feature_file, "AT_ONCE", 4)
    block = np.linspace(-1, 1, 15, dtype=dtype).reshape(5, 3)
    block.flat[place] = value
    assert feature_file._is_finite(block) == bool(np.isfinite(value))
    assert feature_file._is_finite(block[:0])
