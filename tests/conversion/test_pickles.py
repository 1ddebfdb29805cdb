"""Pickles of plain data, of every protocol and as Python 2 wrote them."""

from __future__ import annotations

import pickle
from argparse import Namespace as ArgparseNamespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import LETTERS

from vsezoo.conversion.pickle_contents import Namespace, Record, Vocabulary
from vsezoo.conversion.pickles import read_pickle

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
whole = st.integers(-(2**200), 2**200)
keys = (
    st.none()
    | st.booleans()
    | st.integers(-(2**59), 2**59)
    | st.text(LETTERS)
    | st.binary()
    | st.floats(allow_nan=False)
)
leaves = keys | whole | st.complex_numbers(allow_nan=False) | st.binary().map(bytearray) | st.sets(keys)
trees = st.recursive(
    leaves | st.frozensets(keys),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(keys, inner)
        | st.dictionaries(keys | st.tuples(keys), inner).map(OrderedDict)
    ),
    max_leaves=20,
)


def read(folder: Path, content: bytes) -> Any:
    path = folder / "x.pkl"
    path.write_bytes(content)
    return read_pickle(path)


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=trees, protocol=st.sampled_from(PROTOCOLS))
def test_what_python_writes_comes_back(value: Any, protocol: int, tmp_path: Path) -> None:
    found = read(tmp_path, pickle.dumps(value, protocol))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.arange(6, dtype="<f4").reshape(2, 3), "float32"),
        (np.arange(6, dtype=">f4").reshape(2, 3), "float32"),
        (np.arange(6, dtype="<f2").reshape(2, 3), "float32"),
        (np.arange(6, dtype=">f8").reshape(2, 3), "float32"),
        (np.asfortranarray(np.arange(6, dtype="<f4").reshape(2, 3)), "float32"),
        (np.arange(6, dtype=">i8"), "int64"),
        (np.array([True, False]), "bool"),
        (np.array(["dog", "cat's"]), "<U5"),
        (np.array(["dog", "cat's"], dtype=">U5"), "<U5"),
        (np.array([b"dog"]), "S3"),
        (np.zeros((0, 4), "<f4"), "float32"),
        (np.array(2.5, "<f4"), "float32"),
    ],
)
def test_arrays_become_native(array: np.ndarray[Any, Any], dtype: str, protocol: int, tmp_path: Path) -> None:
    found = read(tmp_path, pickle.dumps({"W": array, "again": array}, protocol))
    assert type(found["W"]) is np.ndarray
    assert found["W"].dtype == np.dtype(dtype)
    assert found["W"].dtype.isnative
    np.testing.assert_array_equal(found["W"], array)
    np.testing.assert_array_equal(found["again"], array)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numbers_of_numpy_become_those_of_python(protocol: int, tmp_path: Path) -> None:
    value = [np.float64(1e300), np.int64(-7), np.bool_(True), np.float32(0.5), np.str_("x")]
    found = read(tmp_path, pickle.dumps(value, protocol))
    assert found == [1e300, -7, True, 0.5, "x"]
    assert [type(item) for item in found] == [float, int, bool, float, str]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_namespace_becomes_a_record(protocol: int, tmp_path: Path) -> None:
    value = {"opt": ArgparseNamespace(margin=0.2, items=7, __setstate__="x"), "none": ArgparseNamespace()}
    found = read(tmp_path, pickle.dumps(value, protocol))
    assert type(found["opt"]) is Namespace
    assert found["opt"].attributes == {"margin": 0.2, "items": 7, "__setstate__": "x"}
    assert found["none"] == Namespace({})


PYTHON_2 = {
    "protocol-0": (
        b"ccopy_reg\n_reconstructor\np0\n(c__main__\nVocabulary\np1\nc__builtin__\nobject\np2\nNtp3\nRp4\n"
        b"(dp5\nS'word2idx'\np6\n(dp7\nS'caf\\xc3\\xa9'\np8\nI0\nsVdog\np9\nL1L\nssb."
    ),
    "protocol-1": (
        b"ccopy_reg\n_reconstructor\nq\x00(cvocab\nVocabulary\nq\x01c__builtin__\nobject\nq\x02Ntq\x03Rq\x04"
        b"}q\x05U\x08word2idxq\x06}q\x07(U\x05caf\xc3\xa9q\x08K\x00X\x03\x00\x00\x00dogq\tK\x01usb."
    ),
    "protocol-2": (
        b"\x80\x02cvsepp.vocab\nVocabulary\nq\x01)\x81q\x02}q\x03U\x08word2idxq\x04}q\x05"
        b"(T\x05\x00\x00\x00caf\xc3\xa9q\x06K\x00X\x03\x00\x00\x00dogq\x07\x8a\x01\x01usb."
    ),
    "old-style-protocol-0": (
        b"(i__main__\nVocabulary\np0\n(dp1\nS'word2idx'\np2\n(dp3\nS'caf\\xc3\\xa9'\nI0\nsS\"dog\"\nI1\nssb."
    ),
    "old-style-protocol-2": (
        b"\x80\x02(c__main__\nVocabulary\nq\x00o}U\x08word2idx}(U\x05caf\xc3\xa9K\x00U\x03dogK\x01usb."
    ),
}


@pytest.mark.parametrize("form", PYTHON_2)
def test_an_object_of_python_2_becomes_a_record(form: str, tmp_path: Path) -> None:
    found = read(tmp_path, PYTHON_2[form])
    assert found == Vocabulary({"word2idx": {"café": 0, "dog": 1}})
    assert isinstance(found, Record)
    assert not callable(found)


def test_strings_of_python_2_that_are_no_utf_8_are_latin_1(tmp_path: Path) -> None:
    assert read(tmp_path, b"\x80\x02(U\x04caf\xe9U\x03dogl.") == ["café", "dog"]
    assert read(tmp_path, b"(lp0\nS'caf\\xe9'\np1\na(S'caf\\xc3\\xa9'\ntp2\na.") == ["café", ("café",)]


def test_arrays_and_numbers_of_python_2_keep_their_bytes(tmp_path: Path) -> None:
    raw = bytes([0xC3, 0xA9, 0x80, 0x3F, 0, 0, 0x80, 0xBF])  # the first two are a letter of UTF-8, all of them are not
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01K\x02\x85cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08" + raw + b"tb"
    )
    np.testing.assert_array_equal(read(tmp_path, b"\x80\x02" + array + b"."), np.frombuffer(raw, "<f4"))
    letter = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(U\x02i2K\x00K\x01tRU\x02\xc3\xa9tR"
    assert read(tmp_path, b"\x80\x02" + letter + b".") == np.frombuffer(b"\xc3\xa9", "<i2")[0]


def test_an_ordered_dictionary_of_python_2(tmp_path: Path) -> None:
    content = b"ccollections\nOrderedDict\np0\n((lp1\n(lp2\nS'b'\np3\naI2\naa(lp4\nS'a'\np5\naI3\naatp6\nRp7\n."
    assert list(read(tmp_path, content).items()) == [("b", 2), ("a", 3)]


def test_parts_may_be_shared(tmp_path: Path) -> None:
    shared = ["x"] * 50
    found = read(tmp_path, pickle.dumps([shared] * 50))
    assert found == [shared] * 50
    assert found[0] is found[49]
