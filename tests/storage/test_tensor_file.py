"""Safetensors files are read as the library safetensors reads them, and what it refuses is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load, save_file

from vsezoo.errors import CheckpointError
from vsezoo.storage.plain_file import map_content
from vsezoo.storage.tensor_file import TensorFile

TENSORS = {
    "weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([[3.0]], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "flags": torch.tensor([True, False, True]),
    "bytes": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "nothing": torch.empty(0, 4),
}


def open_file(path: Path) -> TensorFile:
    with path.open("rb") as stream:
        return TensorFile(map_content(stream), path, "Mend it.")


def write(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def describe(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_the_tensors_are_those_that_were_written(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "a.safetensors", metadata={"format": "pt"})
    tensors = open_file(tmp_path / "a.safetensors")
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert (tensors[name].dtype, tensors[name].shape) == (tensor.dtype, tensor.shape)
        assert torch.equal(tensors[name], tensor)


def test_it_stays_when_the_file_is_replaced_and_writing_to_a_tensor_does_not_reach_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(TENSORS, path)
    before, tensors = path.read_bytes(), open_file(path)
    tensors["weight"].zero_()
    assert path.read_bytes() == before
    path.unlink()
    save_file({"other": torch.ones(2)}, path)
    assert torch.equal(tensors["bytes"], TENSORS["bytes"])


def test_tensors_that_are_not_aligned(tmp_path: Path) -> None:
    values = torch.tensor([1.25, -3.0])
    header = {"a": describe("U8", [1], [0, 1]), "b": describe("F32", [2], [1, 9])}
    content = write(header, b"\x05" + values.numpy().tobytes())
    tensors = TensorFile(content, "a", "")
    assert torch.equal(tensors["b"], values)
    assert torch.equal(tensors["b"], load(content)["b"])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        b"\x00" * 8,
        b"\xff" * 100,
        write(b"[]"),
        write(b"null"),
        write(b"{"),
        write(b"\xff{}"),
        write(b"[" * 100_000),
        write(b'{"a": ' + b"1" * 5000 + b"}"),
        write({"a": 5}),
        write({"a": {}}),
        write({"a": {**describe(), "more": 1}}, bytes(4)),
        write({"a": describe("F33")}, bytes(4)),
        write({"a": describe(["F32"])}, bytes(4)),  # type: ignore[arg-type]
        write({"a": describe(shape=[2])}, bytes(4)),
        write({"a": describe(shape=[-1], offsets=[0, -4])}),
        write({"a": describe(shape=[True])}, bytes(4)),
        write({"a": describe(shape=[1.0])}, bytes(4)),
        write({"a": describe(shape=5)}, bytes(4)),
        write({"a": describe(shape=[2**62, 2**62, 0], offsets=[0, 0])}, bytes(4)),
        write({"a": describe(shape=[2**70])}, bytes(4)),
        write({"a": describe(shape=[1] * 10_000)}, bytes(4)),
        write({"a": describe(offsets=[0])}, bytes(4)),
        write({"a": describe(offsets=[4, 8])}, bytes(8)),
        write({"a": describe(offsets=[0, 4])}),
        write({"a": describe(offsets=[0, 4])}, bytes(5)),
        write({"a": describe(), "b": describe()}, bytes(4)),
        write({"a": describe(), "b": describe(offsets=[2, 6])}, bytes(6)),
        write({"a": describe(), "b": describe(offsets=[6, 10])}, bytes(10)),
        write(b'{"a": %s, "a": %s}' % (json.dumps(describe()).encode(), json.dumps(describe()).encode()), bytes(4)),
    ],
)
def test_what_is_not_a_safetensors_file(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"^a: is not a safetensors file: .*\.\nMend it\.$"):
        TensorFile(content, "a", "Mend it.")


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_what_is_read_is_what_the_library_reads(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "whole.safetensors"
    if not path.exists():
        save_file(TENSORS, path)
    content = bytearray(path.read_bytes())
    header = int.from_bytes(content[:8], "little") + 8
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, header - 1))
        content[place] = data.draw(st.integers(0, 255) | st.sampled_from(b'0123456789"{}[],:'))
    try:
        tensors = dict(TensorFile(bytearray(content), "a", ""))
    except CheckpointError:
        return  # ours may refuse more
    try:
        expected = load(bytes(content))
    except SafetensorError as error:
        pytest.fail(f"the library refuses it: {error}")
    assert tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(tensors[name].nan_to_num(), tensor.nan_to_num())
