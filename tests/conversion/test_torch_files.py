"""What `torch.save` writes, as an archive and in the form before torch 1.6."""

from __future__ import annotations

import os
from argparse import Namespace as ArgparseNamespace
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_files.opcodes import text
from hostile_files.torch_files import place_in_row, row, tensor, zipped_pickle

from vsezoo.conversion import archives
from vsezoo.conversion.pickle_contents import Namespace
from vsezoo.conversion.torch_files import read_torch
from vsezoo.errors import CheckpointError

FORMS = pytest.mark.parametrize("zipped", [True, False], ids=["archive", "row"])


def save(path: Path, value: Any, zipped: bool) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


@FORMS
def test_a_checkpoint_comes_back(zipped: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.GRU(3, 4, 2, bidirectional=True), torch.nn.BatchNorm1d(4))
    value = {
        "epoch": 3,
        "model": [model.state_dict(), OrderedDict(weight=torch.nn.Parameter(torch.rand(2, 3)))],
        "best_rsum": np.float64(1e-300),
        "opt": ArgparseNamespace(margin=0.2, data_path="données", num_layers=2, crop=None, sizes=(1, [2])),
    }
    found = read_torch(save(tmp_path / "model_best.pth.tar", value, zipped))
    assert found["epoch"] == 3
    assert found["best_rsum"] == 1e-300
    assert type(found["opt"]) is Namespace
    assert found["opt"].attributes == vars(value["opt"])
    for read, written in zip(found["model"], value["model"], strict=True):
        assert list(read) == list(written)
        for name in written:
            torch.testing.assert_close(read[name], written[name].detach(), rtol=0, atol=0, check_stride=True)


@FORMS
@pytest.mark.parametrize(
    "dtype", ["float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"]
)
def test_every_type_of_number(dtype: str, zipped: bool, tmp_path: Path) -> None:
    value = torch.tensor([[1, 0, 1], [0, 1, 1]]).to(getattr(torch, dtype))
    views = [value, value.T, value[1:, ::2], value[:0], torch.zeros((), dtype=value.dtype)]
    found = read_torch(save(tmp_path / "x.pth", views, zipped))
    for read, written in zip(found, views, strict=True):
        assert read.dtype == written.dtype
        torch.testing.assert_close(read, written, rtol=0, atol=0)


@FORMS
def test_tensors_may_share_a_storage(zipped: bool, tmp_path: Path) -> None:
    weight = torch.rand(5, 4)
    found = read_torch(save(tmp_path / "x.pth", {"in": weight, "out": weight, "row": weight[2]}, zipped))
    torch.testing.assert_close(found["out"], weight, rtol=0, atol=0)
    found["in"][2] = 7
    assert found["row"].tolist() == [7] * 4


def test_what_a_caller_allows_torch_is_left_out_and_left_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", {"opt": ArgparseNamespace(a=1)}, zipped=True)
    with torch.serialization.safe_globals([ArgparseNamespace]):
        before = set(torch.serialization.get_safe_globals())
        assert read_torch(path)["opt"] == Namespace({"a": 1})
        assert set(torch.serialization.get_safe_globals()) == before


@FORMS
def test_arrays_stay_arrays(zipped: bool, tmp_path: Path) -> None:
    found = read_torch(save(tmp_path / "x.pth", {"W": np.arange(6, dtype=np.float32).reshape(2, 3)}, zipped))
    np.testing.assert_array_equal(found["W"], [[0, 1, 2], [3, 4, 5]])


def test_tensors_of_a_graphics_card_come_to_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    for content in (zipped_pickle(tensor()), row(place_in_row(), ["0"])):
        on_card = content.replace(b"ctorch\nFloatStorage", b"ctorch.cuda\nFloatStorage")
        on_card = on_card.replace(text("cpu"), text("cuda:0"))
        if content.startswith(archives.MAGIC):  # of another length: written anew
            on_card = zipped_pickle(
                tensor().replace(b"ctorch\nF", b"ctorch.cuda\nF").replace(text("cpu"), text("cuda:0"))
            )
        path.write_bytes(on_card)
        found = read_torch(path)
        assert found.device.type == "cpu"
        assert found.tolist() == [[0.0] * 3] * 4


def test_a_view_of_a_storage_before_torch_1(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(row(place_in_row(b"(" + text("1") + b"K\x00K\x0ct"), ["0"]))
    assert read_torch(path).shape == (4, 3)


def test_the_directory_of_an_archive_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.pth", {"W": torch.ones(3)}, zipped=True)
    monkeypatch.setattr(archives, "DIRECTORY", 100)
    with pytest.raises(CheckpointError, match=r"asks for [0-9]+ bytes at once"):
        read_torch(path)


def test_torch_reads_with_weights_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    load, before = torch.load, set(torch.serialization.get_safe_globals())
    monkeypatch.setattr(torch, "load", lambda *places, **options: asked.append(options) or load(*places, **options))
    read_torch(save(tmp_path / "x.pth", {"opt": ArgparseNamespace(a=1)}, zipped=True))
    assert [options["weights_only"] for options in asked] == [True]
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_refused_file_never_gets_to_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "load", lambda *places, **options: pytest.fail("torch was asked"))
    path = save(tmp_path / "x.pth", {"f": os.getcwd}, zipped=True)
    with pytest.raises(CheckpointError, match=r"refers to \w+.getcwd \(os.getcwd\), which"):
        read_torch(path)


def test_what_torch_does_not_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(zipped_pickle(b"T\x03\x00\x00\x00abc"))  # a string of Python 2 with more than 255 letters
    with pytest.raises(CheckpointError, match="cannot be read by torch: Unsupported operand 84") as caught:
        read_torch(path)
    assert len(str(caught.value).splitlines()) == 2
