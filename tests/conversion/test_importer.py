"""What an importer is given and gives: a source that is read once, and a model that must fit."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny import make_model

from vsezoo.conversion.importer import FORMATS, Imported, Importer, Source
from vsezoo.errors import CheckpointError, UsageError


def write_forms(folder: Path) -> dict[str, Path]:
    """Write a file of each format under a name that says nothing."""
    places = {name: folder / f"{number}.bin" for number, name in enumerate(FORMATS)}
    torch.save({"epoch": 1}, places["torch"])
    places["json"].write_text(' {"idx": 3}', encoding="utf-8")
    places["pickle"].write_bytes(pickle.dumps({"margin": 0.2}, 0))
    with places["npz"].open("wb") as stream:
        np.savez(stream, W=np.ones(2))
    with places["npy"].open("wb") as stream:
        np.save(stream, np.ones(2))
    save_file({"weight": torch.ones(2)}, places["safetensors"])
    return places


def test_the_format_is_known_by_the_first_bytes(tmp_path: Path) -> None:
    places = write_forms(tmp_path)
    old = tmp_path / "old.bin"
    torch.save({"epoch": 1}, old, _use_new_zipfile_serialization=False)
    assert {name: Source(path).format for name, path in places.items()} == {name: name for name in FORMATS}
    assert Source(old).format == "torch"
    assert Source(tmp_path).format == "folder"
    assert torch.equal(Source(places["safetensors"]).content["weight"], torch.ones(2))
    assert torch.equal(Source(places["safetensors"]).tensors("wei")["ght"], torch.ones(2))
    assert [Source(path).content for path in (places["torch"], old, places["json"], places["pickle"])] == [
        {"epoch": 1},
        {"epoch": 1},
        {"idx": 3},
        {"margin": 0.2},
    ]


def test_a_file_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{}", encoding="utf-8")
    source = Source(path)
    content = source.content
    path.write_text('{"a": 1}', encoding="utf-8")
    assert source.content is content


def test_companions_are_found_beside_and_recorded(tmp_path: Path) -> None:
    for name in ("model.npz", "model.npz.pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(name))
    source = Source(tmp_path / "model.npz")
    options = source.find(".options", ".pkl")
    assert options is not None
    assert options.content == "model.npz.pkl"
    assert source.open("model.npz.pkl") is options
    assert source.find(".dictionary.pkl") is None
    digests = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name in ("model.npz", "model.npz.pkl")
        for content in [pickle.dumps(name)]
    }
    assert source.digest() == digests
    folder = Source(tmp_path)
    assert folder.is_folder
    assert folder.open("model.npz").content == "model.npz"
    assert folder.digest() == {"model.npz": digests["model.npz"]}


def test_what_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.pth: does not exist"):
        Source(tmp_path / "nothing.pth")
    (tmp_path / "x.npz").touch()
    with pytest.raises(CheckpointError, match=r"vocab\.pkl: does not exist, but is needed") as caught:
        Source(tmp_path / "x.npz").open("vocab.pkl")
    assert caught.value.remedy == "Put it next to x.npz, or give its path."
    with pytest.raises(CheckpointError, match="is a folder, not a file"):
        _ = Source(tmp_path).content


class JSONImporter(Importer):
    """Weights as lists of numbers: what a plugin may bring."""

    name, summary = "lists", "Lists of numbers."

    def recognise(self, source: Source) -> bool:
        return source.format == "json" and "weights" in source.content

    def read(self, source: Source, options: Mapping[str, Any]) -> Imported:
        model = make_model()
        tensors = {name: torch.tensor(values) for name, values in source.content["weights"].items()}
        return Imported(model.recipe, model.tokenizer, tensors, notes={"epoch": source.content["epoch"]})


@pytest.fixture
def lists(tmp_path: Path) -> dict[str, Any]:
    return {"epoch": 4, "weights": {name: tensor.tolist() for name, tensor in make_model().state_dict().items()}}


def read(folder: Path, value: Any) -> tuple[Source, Imported]:
    path = folder / "lists.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    source, importer = Source(path), JSONImporter()
    assert importer.recognise(source)
    return source, importer.read(source, {})


def test_an_importer_gives_a_model(lists: dict[str, Any], tmp_path: Path) -> None:
    source, imported = read(tmp_path, lists)
    state = torch.get_rng_state()
    model = imported.build(source)
    assert torch.get_rng_state().equal(state)
    assert not model.training
    for name, tensor in make_model().state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_tensor_too_few_is_an_error(lists: dict[str, Any], tmp_path: Path) -> None:
    name, _ = lists["weights"].popitem()
    source, imported = read(tmp_path, lists)
    with pytest.raises(CheckpointError, match=f"lacks tensor {name}"):
        imported.build(source)


def test_a_format_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'lists' can be read but not written"):
        JSONImporter().write(make_model(), tmp_path / "x")
