"""The checkpoint folder: what is in it, and where it is."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from tiny import WIDTH, TinyPairs, make_model, save_model

from vsezoo import load
from vsezoo.checkpoints.locate import locate
from vsezoo.errors import CheckpointError
from vsezoo.storage.checkpoint_layout import read_config
from vsezoo.text import WordTokenizer

FILES = {"README.md", "config.json", "metrics.json", "model.safetensors", "vocab.json"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "best")
    return tmp_path / "best"


# What is in it


@pytest.mark.parametrize("name", ["vse0", "vsepp", "order0", "orderpp"])
def test_round_trip_to_the_bit(tmp_path: Path, name: str) -> None:
    model = make_model(name, image_encoder__center=True, text_encoder__num_layers=2)
    save_model(tmp_path / "one", model)
    read = load(tmp_path / "one")
    assert read.recipe.to_json() == model.recipe.to_json()
    assert not read.training
    assert read.state_dict().keys() == model.state_dict().keys()
    for tensor, stored in zip(model.state_dict().values(), read.state_dict().values(), strict=True):
        assert tensor.dtype == stored.dtype
        assert torch.equal(tensor, stored)
    texts, features = ["A dog runs.", "zebra", ""], TinyPairs().features
    assert torch.equal(read.encode_texts(texts), model.encode_texts(texts))
    images = read.encode_images(features)
    assert torch.equal(images, model.encode_images(features))
    assert torch.equal(
        read.similarity(images, read.encode_texts(texts)), model.similarity(images, model.encode_texts(texts))
    )
    save_model(tmp_path / "two", read)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_the_folder_holds_what_it_says(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert {item.name for item in folder.iterdir()} == FILES
    assert config["files"].keys() == FILES - {"README.md", "config.json"}
    for name, digest in config["files"].items():
        content = (folder / name).read_bytes()
        assert digest == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert (config["format"], config["format_version"]) == ("vsezoo", 1)
    assert config["data"] == {"name": "tiny", "kind": "vector", "image_shape": [WIDTH], "images": 6, "captions": 30}
    assert config["trained"] == {"epoch": 1, "step": 2, "criterion": "rsum", "score": 3.0}
    assert config["plugins"]["image_encoder"] == {
        "name": "precomp",
        "distribution": "vsezoo",
        "version": config["vsezoo_version"],
        "api_version": 1,
    }
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["checkpoints"] == [
        {"reference": ".", "model": "vsepp", "sha256": config["files"]["model.safetensors"]["sha256"]}
    ]


def test_the_card_may_be_edited(folder: Path) -> None:
    (folder / "README.md").write_text("my own words")
    load(folder)


def test_loading_draws_no_random_number(folder: Path) -> None:
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


# Where it is


def test_a_run_means_its_best_checkpoint(folder: Path) -> None:
    assert locate(folder.parent).find() == folder
    load(str(folder.parent))
    folder.rename(f"{folder}.previous")  # as a kill between the two renames of a save leaves it
    assert locate(folder).find() == locate(folder.parent).find() == Path(f"{folder}.previous")
    load(folder)


@pytest.mark.parametrize("reference", [".", "", "./", "../best", ".."])
def test_a_place_relative_to_the_present_one(folder: Path, monkeypatch: pytest.MonkeyPatch, reference: str) -> None:
    monkeypatch.chdir(folder)
    load(reference)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"does not exist\.\nUse a folder written by `vsezoo train`") as caught:
        load(tmp_path / "absent")
    assert caught.value.file == str(tmp_path / "absent")


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a file of a model\.\nUse its folder: .*best$"):
        load(folder / "model.safetensors")
    (folder.parent / "other").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is not a folder"):
        load(folder.parent / "other")
    (folder / "old.pth.tar").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"is a file, not a folder\.\nConvert it first: vsezoo convert .*old"):
        load(folder / "old.pth.tar")


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config.json \(it contains nothing\)"):
        load(tmp_path)
    (tmp_path / "photo.jpg").write_text("")
    with pytest.raises(CheckpointError, match=r"has no config.json \(it contains photo.jpg\)") as caught:
        load(tmp_path)
    assert caught.value.remedy


def test_the_digests_of_a_config_are_verified_once_wanted(folder: Path) -> None:
    (folder / "vocab.json").write_text("{}")
    assert read_config(folder, verify=False)["files"].keys() >= {"vocab.json"}
    with pytest.raises(CheckpointError):
        read_config(folder)


def test_the_tokenizer_of_a_checkpoint_is_the_one_of_the_training(folder: Path) -> None:
    tokenizer = load(folder).tokenizer
    assert isinstance(tokenizer, WordTokenizer)
    assert tokenizer.vocabulary.words == make_model().tokenizer.vocabulary.words  # type: ignore[attr-defined]
    assert tokenizer.threshold == 2
