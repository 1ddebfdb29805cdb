"""Pretrained weights of other codebases: in a folder, in several files, on the Hub; and folders that mean no good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dual
import processes
import pytest
import torch
from hub_environment import client_of
from hub_repositories import Blob, Repository
from loopback import LoopbackHub
from safetensors.torch import load_file, save_file

import vsezoo
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.errors import CheckpointError, HubError
from vsezoo.hub.download import fetch_config
from vsezoo.hub.reference import HubReference
from vsezoo.interfaces import Weights
from vsezoo.pretrained.left_out import LeftOut, SharedSource
from vsezoo.pretrained.weights import open_weights

Vse = Callable[..., processes.Done]
CAPTIONS = ["a dog", "the red thing"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "tiny-clip"
    dual.write_dual(folder)
    return folder


def test_a_folder(source: Path) -> None:
    weights = open_weights(source)
    assert isinstance(weights, Weights)
    assert (weights.name, weights.folder) == ("tiny-clip", source)
    content = (source / "model.safetensors").read_bytes()
    assert weights.sha256 == hashlib.sha256(content).hexdigest()
    assert weights.config()["projection_dim"] == 6
    held = load_file(source / "model.safetensors")
    assert weights.tensors().keys() == held.keys()
    own = weights.tensors("text_projection.")
    assert own.keys() == {"weight"}
    assert torch.equal(own["weight"], held["text_projection.weight"])


def test_a_model_in_several_files_is_the_same(source: Path, tmp_path: Path) -> None:
    dual.write_dual(tmp_path / "parts", max_shard_size="3KB")
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    whole, parts = open_weights(source).tensors(), open_weights(tmp_path / "parts").tensors()
    assert whole.keys() == parts.keys()
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    digest = open_weights(tmp_path / "parts").sha256
    file = sorted((tmp_path / "parts").glob("*.safetensors"))[0]
    tensors = load_file(file)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, file)
    assert open_weights(tmp_path / "parts").sha256 != digest


def test_one_file(tmp_path: Path) -> None:
    save_file({"a.b": torch.ones(2)}, tmp_path / "other.safetensors")
    for reference in (tmp_path, tmp_path / "other.safetensors"):
        weights = open_weights(reference)
        assert weights.config() == {}
        assert weights.tensors("a.").keys() == {"b"}
    save_file({"c": torch.ones(2)}, tmp_path / "another.safetensors")
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors \(it contains another\.safetensors, other"):
        open_weights(tmp_path)


def write_index(folder: Path, value: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("{", "cannot be read as JSON"),
        ({}, "is not an index of tensors and files"),
        ({"weight_map": {}}, "is not an index of tensors and files"),
        ({"weight_map": {"a": 5}}, "is not an index of tensors and files"),
        ({"weight_map": {"a": "../x.safetensors"}}, "is not an index of tensors and files"),
        ({"weight_map": {"a": "model.bin"}}, "is not an index of tensors and files"),
        ({"weight_map": {"a": "absent.safetensors"}}, r"lacks absent\.safetensors, listed in"),
        ({"weight_map": {"b": "x.safetensors"}}, r"x\.safetensors: lacks 'b', which .* lists"),
    ],
)
def test_an_index_that_is_not_true(tmp_path: Path, index: Any, message: str) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    save_file({"a": torch.ones(1)}, tmp_path / "y.safetensors")
    write_index(tmp_path, index)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_weights(tmp_path)
    assert caught.value.remedy


def test_folders_that_have_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^org/name: is not a folder of pretrained weights\.\n.*hub:org/name f"):
        open_weights("org/name")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"it contains pytorch_model\.bin.*\n.*unpickled"):
        open_weights(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: is not a safetensors file"):
        open_weights(tmp_path)


def test_what_is_left_out_is_read_as_it_was_written() -> None:
    for left_out in (
        LeftOut(),
        LeftOut(("image_encoder",)),
        LeftOut((), {"a": SharedSource("0", ("image_encoder", "text_encoder"))}),
        LeftOut(("image_encoder",), {"a": SharedSource("0", ("text_encoder",))}),
    ):
        assert LeftOut.from_json(json.loads(json.dumps(left_out.to_json()))) == left_out
    assert LeftOut(("image_encoder",)).to_json() == ["image_encoder"]  # as before there were shared sources
    mixed = LeftOut(("image_encoder",), {"a": SharedSource("0", ("text_encoder",))})
    assert mixed.names == ("image_encoder", "text_encoder")
    assert mixed.keep(lambda name: name == "image_encoder") == LeftOut(("image_encoder",))


# On the Hub


def publish(hub: LoopbackHub, folder: Path, name: str = "org/clip", **more: bytes) -> Repository:
    repository = hub.repositories.setdefault(name, Repository())
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} | more
    repository.commit({name: Blob.of(content, name.endswith(".safetensors")) for name, content in files.items()})
    return repository


def list_fetched(hub: LoopbackHub) -> set[str]:
    return {path.rsplit("/", 1)[1] for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path}


def test_of_a_network_that_is_only_named_the_configuration_is_fetched(
    hub: LoopbackHub, environment: dict[str, str], source: Path
) -> None:
    """As open_clip names text towers."""
    publish(hub, source, "org/tower")
    for more in ({}, {"HF_HUB_OFFLINE": "1"}):
        with client_of({**environment, **more}):
            path = fetch_config(HubReference("org/tower"))
        assert path.read_bytes() == (source / "config.json").read_bytes()
    assert list_fetched(hub) == {"config.json"}


@pytest.mark.slow
def test_no_code_and_no_pickle_is_fetched(hub: LoopbackHub, environment: dict[str, str], source: Path) -> None:
    dual.register_dual()
    others = {"pytorch_model.bin": b"evil", "modeling.py": b"evil", "model.fp16.safetensors": b"x", "README.md": b"x"}
    commit = publish(hub, source, **others).branches["main"]
    with client_of(environment):
        model = vsezoo.create_model(dual.RECIPE.name, settings={"pretrained": "hub:org/clip"})
        expected = vsezoo.create_model(dual.RECIPE.name, settings={"pretrained": str(source)})
        assert torch.equal(model.encode_texts(CAPTIONS), expected.encode_texts(CAPTIONS))
        assert list_fetched(hub) == {path.name for path in source.iterdir()}
        hub.requests.clear()
        weights = open_weights(f"hub:org/clip@{commit}")
        assert weights.name == f"hub:org/clip@{commit}"
        assert list_fetched(hub) == set()
    with client_of({**environment, "HF_HUB_OFFLINE": "1"}):
        assert open_weights("hub:org/clip").sha256 == weights.sha256
        with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
            open_weights("hub:org/other")


@pytest.mark.slow
def test_a_checkpoint_names_the_commit(
    hub: LoopbackHub, environment: dict[str, str], source: Path, tmp_path: Path
) -> None:
    dual.register_dual()
    repository = publish(hub, source)
    commit = repository.branches["main"]
    known = {"name": "mine", "kind": "picture", "image_shape": [], "images": 1, "captions": 5}
    with client_of(environment):
        model = vsezoo.create_model(dual.RECIPE.name, settings={"pretrained": "hub:org/clip"})
        save_checkpoint(tmp_path / "run", model, known, {})
        config = json.loads((tmp_path / "run" / "config.json").read_bytes())
        assert list(config["left_out"]) == [f"hub:org/clip@{commit}"]
        assert not (tmp_path / "run" / "local.json").exists()
        dual.write_dual(tmp_path / "changed", seed=8)
        publish(hub, tmp_path / "changed")
        assert repository.branches["main"] != commit
        assert torch.equal(vsezoo.load(tmp_path / "run").encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))


@pytest.mark.slow
def test_convert(hub: LoopbackHub, vse: Vse, source: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    dual.register_dual()
    commit = publish(hub, source).branches["main"]
    done = vse("convert", "hub:org/clip", "--from", "tiny-dual", "--json")
    assert done.code == 0, done.stderr
    made = json.loads(done.stdout)
    assert (made["checkpoint"], made["source"]) == ("runs/clip", f"hub:org/clip@{commit}")
    assert set(made["files"]) == {path.name for path in source.iterdir()}
    with client_of(environment):
        expected = vsezoo.create_model(dual.RECIPE.name, settings={"pretrained": str(source)})
    converted = vsezoo.load(tmp_path / "runs" / "clip")
    assert torch.equal(converted.encode_texts(CAPTIONS), expected.encode_texts(CAPTIONS))
    assert f"hub:org/clip@{commit}" in vse("show", "runs/clip").stdout


@pytest.mark.slow
def test_repositories_that_cannot_be_converted(hub: LoopbackHub, vse: Vse, work: Path, tmp_path: Path) -> None:
    publish(hub, work / "run" / "best", "org/checkpoint")
    message = r"^hub:org/checkpoint@\w+: is a checkpoint of vsezoo already\.\nUse it as it is: vsezoo eval hub:org"
    processes.assert_one_message(vse("convert", "hub:org/checkpoint"), 1, message)
    assert "model.safetensors" not in list_fetched(hub)
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"x")
    publish(hub, tmp_path / "pickled", "org/pickled")
    message = (
        r"^hub:org/pickled@\w+: has no model\.safetensors, nor .*contains config\.json, pytorch_model\.bin.*\n.*unp"
    )
    processes.assert_one_message(vse("convert", "hub:org/pickled"), 1, message)
    (tmp_path / "pickled" / "pytorch_model.bin").unlink()
    save_file({"a": torch.ones(1)}, tmp_path / "pickled" / "model.safetensors")
    publish(hub, tmp_path / "pickled", "org/unknown")
    processes.assert_one_message(
        vse("convert", "hub:org/unknown"),
        1,
        r"^hub:org/unknown@\w+: is not of a known format: it is a folder with config",
    )


def test_a_file_that_came_damaged(hub: LoopbackHub, environment: dict[str, str], source: Path, tmp_path: Path) -> None:
    repository = publish(hub, source)
    blob = Blob.of((source / "model.safetensors").read_bytes(), True)
    commit = repository.branches["main"]
    damaged = Blob(blob.content[:-1] + b"x", True, blob.sha256, blob.size)  # type: ignore[index]
    repository.commits[commit] = {**repository.commits[commit], "model.safetensors": damaged}
    with client_of(environment), pytest.raises(CheckpointError, match="differs from the digest that the Hub announced"):
        open_weights("hub:org/clip")
