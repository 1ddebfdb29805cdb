"""Pretrained weights of another library on the Hub, used as a checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import dual_families
import pictures
import processes
import pytest
import torch
from loopback import Blob, LoopbackHub, Repository, client_of

import vsezoo

Vse = Callable[..., processes.Done]
CAPTIONS = ["a dog", "the red thing"]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "tiny-clip"
    dual_families.write(folder, "clip")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(4):
        pictures.draw(index).save(folder / f"{index}.png")
    return folder


def publish(hub: LoopbackHub, folder: Path, leave_out: str = "") -> Repository:
    repository = hub.repositories.setdefault("org/clip", Repository())
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != leave_out}
    repository.commit({name: Blob.of(content, name.endswith(".safetensors")) for name, content in files.items()})
    return repository


def test_a_repository(
    hub: LoopbackHub, vse: Vse, environment: dict[str, str], source: Path, photos: Path, tmp_path: Path
) -> None:
    commit = publish(hub, source).branches["main"]
    done = vse("search", "hub:org/clip", "a dog", "--images", str(photos), "--json")
    assert done.code == 0, done.stderr
    best = json.loads(done.stdout)["hits"][0]
    with client_of({**environment, "HF_HUB_OFFLINE": "1"}):
        checkpoint = vsezoo.Checkpoint.open("hub:org/clip")
        assert checkpoint.reference == f"hub:org/clip@{commit}"
        assert vsezoo.open_index(checkpoint, images=photos).search("a dog", 1)[0].id == best["id"]
    with client_of(environment):
        assert torch.equal(
            vsezoo.load("hub:org/clip").encode_texts(CAPTIONS), vsezoo.load(source).encode_texts(CAPTIONS)
        )


def test_no_network_and_nothing_cached(vse: Vse, photos: Path) -> None:
    done = vse("search", "hub:org/clip", "a dog", "--images", str(photos), HF_HUB_OFFLINE="1")
    processes.assert_one_message(done, 1, r"hub:org/clip: is not complete in the cache, .*HF_HUB_OFFLINE forbids")


def test_pickles_alone(hub: LoopbackHub, vse: Vse, source: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    publish(hub, tmp_path / "pickled")
    for reference, words in (("hub:org/clip", "others would have"), (str(tmp_path / "pickled"), "would have to")):
        done = vse("search", reference, "a dog", "--images", str(photos))
        processes.assert_one_message(done, 1, rf"has no model\.safetensors.*\n.*{words}.* unpickled")
