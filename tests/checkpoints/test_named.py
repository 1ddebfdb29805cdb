"""Checkpoints by name, and what is said where a name is not that of a checkpoint."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import processes
import pytest
import tiny
import torch
from hub_environment import client_of
from hub_repositories import Blob, Repository
from loopback import LoopbackHub

import vsezoo
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.errors import CheckpointError, ConflictError, RecipeError, UsageError
from vsezoo.publishing.publication import open_publication
from vsezoo.recipe import Pretrained, PublishedResult
from vsezoo.registry import register

Vse = Callable[..., processes.Done]
NAME = "vsepp.tiny"


def read_digest(folder: Path) -> str:
    config = json.loads((folder / "config.json").read_bytes())
    digest: str = config["files"]["model.safetensors"]["sha256"]
    return digest


def publish(folder: Path, reference: str | None = None, **more: Any) -> Pretrained:
    """Register the checkpoint in a folder, or at a reference, under a name."""
    record = Pretrained(NAME, "vsepp", reference or str(folder), read_digest(folder), "tiny", **more)
    register("checkpoints", NAME)(record)
    return record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.save_model(tmp_path / "somewhere" / "best")
    return tmp_path / "somewhere" / "best"


def test_a_name_is_used_as_a_folder_is(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    publish(folder)
    by_name, by_place = vsezoo.load(NAME), vsezoo.load(folder)
    assert torch.equal(by_name.encode_texts(tiny.CAPTIONS), by_place.encode_texts(tiny.CAPTIONS))
    assert Checkpoint.open(NAME).folder == folder
    assert vsezoo.open_index(NAME, texts=["a dog"]).search(tiny.TinyPairs().features[0], 1)
    with pytest.raises(UsageError, match=r"'vsepp\.tiny' is already on the Hub"):
        open_publication(NAME)


@pytest.mark.slow
def test_on_the_hub(hub: LoopbackHub, environment: dict[str, str], vse: Vse, folder: Path) -> None:
    repository = hub.repositories.setdefault("org/name", Repository())
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    repository.commit({name: Blob.of(content, name.endswith(".safetensors")) for name, content in files.items()})
    commit = repository.branches["main"]
    publish(folder, f"hub:org/name@{commit}")
    with client_of(environment):
        assert Checkpoint.open(NAME).reference == f"hub:org/name@{commit}"
    shown = vse("show", NAME, "--json")
    assert json.loads(shown.stdout)["reference"] == f"hub:org/name@{commit}"


def test_other_weights_than_the_registered_ones_are_refused(folder: Path) -> None:
    record = publish(folder)
    register("checkpoints", NAME)(dataclasses.replace(record, sha256="0" * 64))
    with pytest.raises(
        CheckpointError, match=r"is not the checkpoint 'vsepp\.tiny': its model\.safetensors has the SHA-256"
    ):
        vsezoo.load(NAME)


def test_a_folder_of_that_name_goes_before(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    publish(folder)
    shutil.copytree(folder, NAME)
    assert Checkpoint.open(NAME).folder == Path(NAME)


def test_a_name_that_two_distributions_register(folder: Path, install: Callable[..., Path]) -> None:
    record = publish(folder)
    module = f"from vsezoo.recipe import Pretrained\nrecord = Pretrained(**{dataclasses.asdict(record)!r})\n"
    for name in ("first", "second"):
        install(name, {"checkpoints": {"vsepp.both": f"made_{name}:record"}}, {f"made_{name}": module})
    with pytest.raises(ConflictError, match=r"The checkpoint 'vsepp\.both' is registered by first .* and second"):
        vsezoo.load("vsepp.both")
    assert vsezoo.list_models("*both", pretrained=True) == ["first:vsepp.both", "second:vsepp.both"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "tiny"}, "must be named vsepp"),
        ({"name": "vsepp.a/b"}, "must be named vsepp"),
        ({"name": "vsepp.a:b"}, "must be named vsepp"),
        ({"reference": "hub:org/name"}, "which names no commit"),
        ({"reference": "hub:org/name@main"}, "which names no commit"),
        ({"sha256": "abc"}, "has an invalid sha256"),
    ],
)
def test_records_that_cannot_be(changes: dict[str, str], message: str) -> None:
    known = {"name": NAME, "recipe": "vsepp", "reference": "/x", "sha256": "0" * 64, "data": "tiny"}
    with pytest.raises(RecipeError, match=message):
        Pretrained(**{**known, **changes})


# What is listed


def test_they_are_listed(folder: Path, tmp_path: Path) -> None:
    assert NAME not in commands.run_command(tmp_path, "list-models", "--pretrained").stdout
    figures = (PublishedResult("tiny", (50.0, 60.0, 70.0), (40.0, 50.0, None), "vsezoo eval"),)
    record = publish(folder, license="mit", size_mb=1.5, notes="For tests.", figures=figures)
    assert vsezoo.list_models("*tiny", pretrained=True) == [NAME]
    assert vsezoo.list_models("order*", pretrained=True) == []
    assert NAME not in vsezoo.list_models()
    flags = ["*tiny", "--pretrained", "--json"]
    (found,) = json.loads(commands.run_command(tmp_path, "list-models", *flags).stdout)
    assert found["reference"] == record.reference
    assert (found["name"], found["license"], found["distribution"]) == (NAME, "mit", "session")
    assert found["figures"][0]["i2t"] == [50.0, 60.0, 70.0]
    table = commands.run_command(tmp_path, "list-models", "VSEPP*", "--pretrained").stdout
    for words in (NAME, "tiny", "R@1 50.0 40.0", "mit", "2 MB"):
        assert words in table
    done = commands.run_command(tmp_path, "list-models", "vsep.tiny", "--pretrained")
    processes.assert_one_message(
        done, 1, r"^No pretrained checkpoint matches 'vsep\.tiny'\.\nDid you mean 'vsepp\.tiny'"
    )


# What is no checkpoint


def test_the_name_of_a_model_is_not_a_checkpoint(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    message = r"^vsepp: is a model without weights: a recipe\.\n"
    with pytest.raises(CheckpointError, match=rf"{message}No checkpoint of it was found\. To train one: vsezoo train"):
        vsezoo.load("vsepp")
    publish(folder)
    shutil.copytree(folder.parent, "runs/vsepp-shapes")
    Path("runs/vsepp-empty").mkdir()
    Path("x").write_text("a dog\n", "utf-8")
    shutil.copytree(folder, "runs/vse++-tiny")
    trained = r"Use one of its checkpoints: runs/vse\+\+-tiny, runs/vsepp-shapes, vsepp\.tiny\."
    for command in (
        ["search", "vsepp", "a dog", "--images", "x"],
        ["eval", "vsepp"],
        ["embed", "vsepp", "--texts", "x"],
    ):
        flags = ["--output", "x.npy"] if command[0] == "embed" else []
        done = commands.run_command(tmp_path, *command, *flags)
        processes.assert_one_message(done, 2, rf"^vsepp: is a model without weights: a recipe\.\n{trained}")
    with pytest.raises(CheckpointError, match=r"runs/vsepp-shapes, vsepp\.tiny\. To train one: vsezoo train vse\+\+"):
        vsezoo.load("vse++")


def test_a_name_like_that_of_a_checkpoint_is_suggested(folder: Path) -> None:
    publish(folder)
    with pytest.raises(CheckpointError, match=r"^vsepp\.tinny: does not exist\.\n.*Did you mean 'vsepp\.tiny'\?"):
        vsezoo.load("vsepp.tinny")
