"""What `numpy.savez` and `numpy.save` write."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hostile_files.arrays import npy

from vsezoo.conversion.arrays import read_npy, read_npz


@pytest.mark.parametrize("pack", [np.savez, np.savez_compressed])
def test_arrays_become_native(pack: type, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(7, 5))
    kinds = ("<f2", ">f2", "<f4", ">f4", "<f8", ">f8")
    pack(
        tmp_path / "x.npz",
        **{kind: matrix.astype(kind) for kind in kinds},
        ids=np.arange(3, dtype=">i4"),
        order=np.asfortranarray(matrix),
        words=np.array(["a", "dog"]),
        none=np.zeros((0, 3)),
        bias=np.float32(2),
    )
    found = read_npz(tmp_path / "x.npz")
    assert list(found) == [*kinds, "ids", "order", "words", "none", "bias"]
    for kind in kinds:
        assert found[kind].dtype == np.float32
        assert found[kind].dtype.isnative
        np.testing.assert_array_equal(found[kind], matrix.astype(kind).astype(np.float32))
    np.testing.assert_array_equal(found["order"], matrix.astype(np.float32))
    assert found["ids"].dtype == np.dtype("=i4")
    assert found["ids"].tolist() == [0, 1, 2]
    assert found["words"].tolist() == ["a", "dog"]
    assert found["none"].shape == (0, 3)
    assert found["bias"].shape == ()


def test_infinite_numbers_stay(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([np.inf, -np.inf, np.nan, 1.5]))
    np.testing.assert_array_equal(read_npy(tmp_path / "x.npy"), np.array([np.inf, -np.inf, np.nan, 1.5], np.float32))


def test_sizes_that_python_2_wrote(tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(npy("(2L, 2L)", raw=struct.pack("<4f", 1, 2, 3, 4)))
    assert read_npy(tmp_path / "x.npy").tolist() == [[1, 2], [3, 4]]


def test_weights_that_pack_well_are_no_trap(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", W=np.zeros((1000, 1000), np.float32))
    assert not read_npz(tmp_path / "x.npz")["W"].any()
