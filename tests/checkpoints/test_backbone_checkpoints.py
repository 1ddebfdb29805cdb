"""Checkpoints of models of pictures: a frozen backbone is not stored, and what is read in its place is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pictures
import pytest
import torch
from checkpoint_folders import change_config, expect_error
from safetensors.torch import load_file, save_file

from vsezoo.checkpoints.checkpoint import load, save_checkpoint
from vsezoo.construction import create_model
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding
from vsezoo.publishing.publication import build_card, open_publication
from vsezoo.storage.digests import digest_file
from vsezoo.storage.json_file import read_object

DATA = {"name": "mine", "kind": "picture", "image_shape": [], "images": 1, "captions": 5}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return pictures.write_weights(tmp_path / "secret" / "resnet.safetensors")


def make(weights: Path | str, **options: Any) -> JointEmbedding:
    torch.manual_seed(1)
    return create_model(
        "vsepp",
        captions=["a dog"] * 4,
        settings={
            "embed_size": 5,
            "image_encoder": options.pop("encoder", pictures.BACKBONE),
            **{f"image_encoder.{name}": value for name, value in {"weights": str(weights), **options}.items()},
        },
    )


def save(model: JointEmbedding, folder: Path) -> Path:
    save_checkpoint(folder, model, DATA, {})
    return folder


def read_config(folder: Path) -> dict[str, Any]:
    return read_object(folder / "config.json")


def assert_same(again: JointEmbedding, model: JointEmbedding) -> None:
    images = [pictures.draw(0), pictures.draw(3)]
    torch.testing.assert_close(again.encode_images(images), model.encode_images(images), rtol=0, atol=0)


@pytest.mark.slow
def test_a_frozen_backbone_is_not_stored(tmp_path: Path, weights: Path) -> None:
    model = make(weights)
    folder = save(model, tmp_path / "stored")
    names = load_file(folder / "model.safetensors").keys()
    assert not [name for name in names if "backbone" in name]
    assert "image_encoder.head.fc.weight" in names
    config = read_config(folder)
    assert config["left_out"] == ["image_encoder"]
    told = config["encoders"]["image_encoder"]["backbone"]
    assert (told["name"], told["source"]) == (pictures.BACKBONE, "resnet.safetensors")
    assert told["sha256"] == model.image_encoder.backbone.digest()
    assert told["transform"]["image_size"] == 160
    again = load(folder)
    assert_same(again, model)
    assert_same(load(save(again, tmp_path / "once more")), model)


@pytest.mark.slow
def test_no_path_of_this_machine_is_published(tmp_path: Path, weights: Path) -> None:
    folder = save(make(weights), tmp_path / "stored")
    publication = open_publication(folder)
    assert sorted(publication.files) == ["config.json", "model.safetensors", "vocab.json"]
    card = build_card(publication)
    published = [*((folder / name).read_bytes() for name in publication.files), *card.files.values()]
    assert not [content for content in published if b"secret" in content]
    assert "requires resnet.safetensors" in " ".join(card.missing)
    assert "store_weights=true" in " ".join(card.missing)
    stored = build_card(open_publication(save(make(weights, store_weights=True), tmp_path / "whole")))
    assert "resnet.safetensors" not in " ".join(stored.missing)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["variable", "checkpoint", "working folder"])
def test_where_the_weights_are_looked_for(
    tmp_path: Path, weights: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(weights)
    folder = save(model, tmp_path / "stored")
    shared = {"variable": tmp_path / "shared", "checkpoint": folder, "working folder": tmp_path / "work"}[place]
    shared.mkdir(exist_ok=True)
    weights.rename(shared / weights.name)
    if place != "checkpoint":
        with pytest.raises(CheckpointError, match=r"^resnet\.safetensors: is not a file of weights") as caught:
            load(folder)
        assert caught.value.remedy.startswith("Put it in the folder of the checkpoint, or set VSEZOO_WEIGHTS")
    if place == "variable":
        monkeypatch.setenv("VSEZOO_WEIGHTS", str(shared))
    if place == "working folder":
        monkeypatch.chdir(shared)
    assert_same(load(folder), model)


@pytest.mark.slow
def test_other_weights_are_refused(tmp_path: Path, weights: Path) -> None:
    folder = save(make(weights), tmp_path / "stored")
    pictures.write_weights(weights, seed=8)
    with pytest.raises(CheckpointError, match=r"resnet\.safetensors: the weights of timm:test_resnet have the SHA-256"):
        load(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"store_weights": True}, {"finetune": True}, {"cnn_mode": "legacy"}, {"cnn_mode": "train"}, {"weights": "none"}],
)
def test_what_may_change_or_is_asked_for_is_stored(tmp_path: Path, weights: Path, options: dict[str, Any]) -> None:
    model = make(**{"weights": weights, **options})
    folder = save(model, tmp_path / "stored")
    weights.unlink()
    config = read_config(folder)
    assert "left_out" not in config
    assert config["encoders"]["image_encoder"]["backbone"]["transform"]["image_size"] == 160
    assert_same(load(folder), model)


@pytest.mark.slow
def test_a_backbone_with_other_weights_than_its_source_is_stored(tmp_path: Path, weights: Path) -> None:
    model = make(weights)
    with torch.no_grad():
        next(model.image_encoder.backbone.parameters()).add_(0.01)
    folder = save(model, tmp_path / "stored")
    weights.unlink()
    assert_same(load(folder), model)


@pytest.mark.slow
def test_pretrained_weights_are_fetched_again(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weights.rename(weights.with_name("model.safetensors"))
    monkeypatch.setattr(
        "vsezoo.backbones.timm_backbone.snapshot_download", lambda *arguments, **options: str(weights.parent)
    )
    model = make("pretrained")
    folder = save(model, tmp_path / "stored")
    assert not (folder / "local.json").exists()
    assert_same(load(folder), model)
    pictures.write_weights(weights, seed=8)
    with pytest.raises(CheckpointError, match="have the SHA-256") as caught:
        load(folder)
    assert caught.value.remedy == "Install the version of timm that the model was trained with."


@pytest.mark.slow
def test_a_fine_tuned_backbone_needs_no_network(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = weights.rename(weights.with_name("model.safetensors"))
    fetch = "vsezoo.backbones.timm_backbone.snapshot_download"
    monkeypatch.setattr(fetch, lambda *arguments, **options: str(weights.parent))
    model = make("pretrained", finetune=True)
    folder = save(model, tmp_path / "stored")
    monkeypatch.setattr(fetch, lambda *arguments, **options: pytest.fail("the Hub is asked"))
    assert_same(load(folder), model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"left_out": ["text_encoder"]}, "has an invalid 'left_out' or 'encoders' entry"),
        ({"left_out": "image_encoder"}, "has an invalid 'left_out' or 'encoders' entry"),
        ({"encoders": []}, "encoders is not an object"),
        ({"encoders": {"image_encoder": 5}}, "has an invalid 'left_out' or 'encoders' entry"),
    ],
)
def test_a_damaged_configuration(tmp_path: Path, weights: Path, change: dict[str, Any], message: str) -> None:
    folder = save(make(weights), tmp_path / "stored")
    change_config(folder, lambda config: config.update(change))
    expect_error(folder, "config.json", message)


@pytest.mark.parametrize("told", [{"folders": 5}, {"folders": [5]}, {"folders": None}, {"data": ["a"]}])
def test_a_damaged_list_of_folders(tmp_path: Path, weights: Path, told: Any) -> None:
    folder = save(make(weights), tmp_path / "stored")
    (folder / "local.json").write_text(json.dumps(told))
    with pytest.raises(CheckpointError, match=r"local\.json: is malformed: expected 'folders'"):
        load(folder)


@pytest.mark.slow
def test_a_folder_of_a_name_that_none_can_have(tmp_path: Path, weights: Path) -> None:
    folder = save(make(weights), tmp_path / "stored")
    (folder / "local.json").write_text(json.dumps({"folders": ["x" * 5000, "a\0b"]}))
    weights.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="is not a file of weights"):
        load(folder)


@pytest.mark.slow
def test_a_digest_that_is_not_told(tmp_path: Path, weights: Path) -> None:
    folder = save(make(weights), tmp_path / "stored")
    (folder / "config.json").write_text(json.dumps({**read_config(folder), "encoders": {"image_encoder": {}}}))
    with pytest.raises(CheckpointError, match="does not describe the weights of timm:test_resnet"):
        load(folder)


@pytest.mark.slow
def test_checkpoints_of_earlier_versions(tmp_path: Path) -> None:
    """They have the whole CNN under other names, fewer options, and another word for the pretrained weights."""
    model = make("none", encoder="torchvision:resnet18", cnn_mode="legacy")
    folder = save(model, tmp_path / "stored")
    file = folder / "model.safetensors"
    names = {"image_encoder.backbone.network.": "image_encoder.cnn.", "image_encoder.head.": "image_encoder."}
    tensors = {}
    for name, tensor in load_file(file).items():
        for new, old in names.items():
            name = name.replace(new, old)
        tensors[name] = tensor
    assert {"image_encoder.cnn.conv1.weight", "image_encoder.fc.weight"} <= tensors.keys()
    save_file(tensors, file)
    config = read_config(folder)
    config["files"][file.name] = digest_file(file)
    config["recipe"]["image_encoder"]["options"] = {
        "model": "resnet18",
        "weights": "imagenet",
        "normalize_features": True,
        "finetune": False,
        "cnn_mode": "frozen",
        "crop_size": 224,
        "normalize": True,
        "use_abs": False,
    }
    del config["encoders"]
    (folder / "config.json").write_text(json.dumps(config))
    assert_same(load(folder), model)
