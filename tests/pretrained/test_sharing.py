"""Pretrained weights that the parts of a model share: loaded, trained, left out of checkpoints, and read again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import pytest
import tiny
import torch
from checkpoint_folders import change_config
from dual import RECIPE, DualText, register_dual, write_dual
from originals import FIXTURES, needs_fixtures
from safetensors.torch import load_file
from torch.nn import functional
from transformers import AutoTokenizer, CLIPImageProcessor

import vsezoo
from vsezoo import registry
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.construction import open_pretrained
from vsezoo.errors import CheckpointError, RecipeError
from vsezoo.parts import resolve_recipe
from vsezoo.pretrained.weights import OpenedWeights
from vsezoo.recipe import Part, Recipe
from vsezoo.registry import register

CAPTIONS = ["a dog", "the red thing", "dogs"]
PICTURES = [pictures.draw(0), pictures.draw(3)]


@pytest.fixture(autouse=True)
def _plugin() -> None:
    register_dual()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "tiny-clip"
    write_dual(folder)
    return folder


def make(source: Path, **settings: Any) -> vsezoo.JointEmbedding:
    return vsezoo.create_model(RECIPE.name, settings={"pretrained": str(source), **tiny.dotted(settings)})


def read_config(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "config.json").read_bytes())
    return value


def save(model: vsezoo.JointEmbedding, folder: Path, **more: Any) -> Path:
    known = {"name": "mine", "kind": "picture", "image_shape": [], "images": 1, "captions": 5}
    save_checkpoint(folder, model, known, {}, **more)
    return folder


def assert_same(first: vsezoo.JointEmbedding, second: vsezoo.JointEmbedding) -> None:
    assert torch.equal(first.encode_texts(CAPTIONS), second.encode_texts(CAPTIONS))
    assert torch.equal(first.encode_images(PICTURES), second.encode_images(PICTURES))
    assert first.similarity.log_scale == second.similarity.log_scale


@pytest.mark.slow
def test_each_part_takes_its_own_of_one_source(tmp_path: Path) -> None:
    """Embeddings and scale are those of transformers' CLIP, and the width is that of the weights."""
    clip = write_dual(tmp_path / "clip")
    model = make(tmp_path / "clip")
    assert (model.recipe.embed_size, model.recipe.pretrained) == (6, str(tmp_path / "clip"))
    tokens = AutoTokenizer.from_pretrained(tmp_path / "clip")(CAPTIONS, padding=True, return_tensors="pt")
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    pixels = processor(PICTURES, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = clip(input_ids=tokens["input_ids"], pixel_values=pixels)
    images, texts = model.encode_images(PICTURES).clone(), model.encode_texts(CAPTIONS).clone()
    torch.testing.assert_close(texts, functional.normalize(expected.text_embeds), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(images, functional.normalize(expected.image_embeds), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(
        model.similarity(images, texts).detach(), expected.logits_per_image, rtol=1e-5, atol=1e-5
    )


def test_the_source_is_opened_once(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    begin = OpenedWeights.__init__

    def note(self: OpenedWeights, folder: Path, *arguments: Any) -> None:
        opened.append(folder.name)
        begin(self, folder, *arguments)

    monkeypatch.setattr(OpenedWeights, "__init__", note)
    make(source)
    assert opened == ["tiny-clip"]


@pytest.mark.slow
def test_frozen_towers_are_named_once_by_their_source(source: Path, tmp_path: Path) -> None:
    model = make(source)
    with torch.no_grad():
        model.image_encoder.bias.fill_(0.5)
        model.similarity.log_scale.fill_(1.5)
    folder = save(model, tmp_path / "run")
    digest = open_pretrained(model.recipe).sha256  # type: ignore[union-attr]
    config = read_config(folder)
    parts = ["image_encoder", "text_encoder"]
    assert config["left_out"] == {"tiny-clip": {"sha256": digest, "parts": parts}}
    assert config["pretrained"] == {"name": "tiny-clip", "sha256": digest}
    assert config["recipe"]["pretrained"] == "tiny-clip"
    assert set(load_file(folder / "model.safetensors")) == {"image_encoder.bias", "similarity.log_scale"}
    published = [(folder / name).read_bytes() for name in ("config.json", "README.md", *config["files"])]
    assert not [content for content in published if str(source.parent).encode() in content]
    again = vsezoo.load(folder)
    assert_same(again, model)  # what was trained is not that of the source
    assert read_config(save(again, tmp_path / "second"))["left_out"] == config["left_out"]
    side = vsezoo.Checkpoint.open(folder).text_side()
    assert torch.equal(side.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))


@pytest.mark.slow
def test_a_tower_that_learns_or_is_asked_for_is_stored(source: Path, tmp_path: Path) -> None:
    model = make(source, image_encoder__finetune=True)
    folder = save(model, tmp_path / "one")
    (shared,) = read_config(folder)["left_out"].values()
    assert shared["parts"] == ["text_encoder"]
    assert_same(vsezoo.load(folder), model)
    both = {"image_encoder__store_weights": True, "text_encoder__finetune": True}
    shutil.copytree(source, tmp_path / "copy")
    model = make(tmp_path / "copy", **both)
    folder = save(model, tmp_path / "none")
    shutil.rmtree(tmp_path / "copy")
    assert "left_out" not in read_config(folder)
    assert_same(vsezoo.load(folder), model)


@pytest.mark.slow
def test_a_frozen_tower_that_was_changed_is_stored(source: Path, tmp_path: Path) -> None:
    model = make(source)
    with torch.no_grad():
        next(model.text_encoder.tower.parameters()).add_(0.1)
    folder = save(model, tmp_path / "run")
    (shared,) = read_config(folder)["left_out"].values()
    assert shared["parts"] == ["image_encoder"]
    assert_same(vsezoo.load(folder), model)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["variable", "checkpoint", "where it was"])
def test_where_the_source_is_looked_for(
    source: Path, tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(source, tmp_path / "secret" / "my-clip")
    model = make(tmp_path / "secret" / "my-clip")
    folder = save(model, tmp_path / "run")
    if place != "where it was":
        shared = {"variable": tmp_path / "shared", "checkpoint": folder}[place]
        shared.mkdir(exist_ok=True)
        (tmp_path / "secret" / "my-clip").rename(shared / "my-clip")
    if place == "variable":
        with pytest.raises(CheckpointError, match=r"^my-clip: is not a folder of pretrained weights, nor is there one"):
            vsezoo.load(folder)
        monkeypatch.setenv("VSEZOO_WEIGHTS", str(shared))
    assert_same(vsezoo.load(folder), model)


@pytest.mark.slow
def test_other_weights_are_refused(tmp_path: Path) -> None:
    write_dual(tmp_path / "clip")
    folder = save(make(tmp_path / "clip"), tmp_path / "run")
    write_dual(tmp_path / "clip", seed=8)
    with pytest.raises(CheckpointError, match=r"clip: the pretrained weights have the SHA-256 \w+, but the model"):
        vsezoo.load(folder)


@pytest.mark.parametrize(
    "left_out",
    [
        {"tiny-clip": 5},
        {"tiny-clip": {"parts": ["image_encoder"]}},
        {"tiny-clip": {"sha256": "0", "parts": "image_encoder"}},
        {"tiny-clip": {"sha256": "0", "parts": ["similarity"]}},
        {"tiny-clip": {"sha256": "0", "parts": [5]}},
        {"": {}},
    ],
)
@pytest.mark.slow
def test_a_damaged_list_of_what_is_left_out(source: Path, tmp_path: Path, left_out: Any) -> None:
    folder = save(make(source), tmp_path / "run")
    change_config(folder, lambda config: config.update(left_out=left_out))
    with pytest.raises(CheckpointError, match="has an invalid 'left_out' or 'encoders' entry"):
        vsezoo.load(folder)


@pytest.mark.slow
def test_beside_an_encoder_with_a_source_of_its_own(source: Path, tmp_path: Path) -> None:
    weights = pictures.write_weights(tmp_path / "resnet.safetensors")
    model = make(source, image_encoder=pictures.BACKBONE, image_encoder__weights=str(weights))
    assert model.recipe.embed_size == 6  # of the text tower
    folder = save(model, tmp_path / "run")
    left_out = read_config(folder)["left_out"]
    assert left_out.pop("") == {"parts": ["image_encoder"]}
    assert [source["parts"] for source in left_out.values()] == [["text_encoder"]]
    again = vsezoo.load(folder)
    assert torch.equal(again.encode_images(PICTURES), model.encode_images(PICTURES))
    assert torch.equal(again.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))


# Widths


def test_widths_that_contradict_each_other(source: Path) -> None:
    message = (
        r"'tiny-dual' would have several widths: image_encoder 'dual-image' has the width 6, "
        r"text_encoder 'dual-text' has the width 6, embed_size is 8\."
    )
    with pytest.raises(RecipeError, match=message):
        make(source, embed_size=8)
    assert make(source, embed_size=6).recipe.embed_size == 6

    class Narrow(DualText):
        @classmethod
        def native_width(cls, options: Any) -> int:
            return 4

    register("text_encoders", "narrow")(Narrow)
    with pytest.raises(
        RecipeError, match="image_encoder 'dual-image' has the width 6, text_encoder 'narrow' has the wid"
    ):
        make(source, text_encoder="narrow")


def test_a_width_that_nothing_decides() -> None:
    recipe = Recipe("none", "", Part("precomp"), Part("gru"), Part("cosine"), Part("hinge"), embed_size=None)
    register("models", "none")(recipe)
    assert resolve_recipe(recipe).embed_size is None
    with pytest.raises(RecipeError, match="embed_size of 'none' is not set, and no part determines it") as caught:
        vsezoo.create_model("none", tiny.TinyPairs())
    assert "--embed-size" in caught.value.remedy
    assert vsezoo.create_model("none", tiny.TinyPairs(), settings={"embed_size": 3}).recipe.embed_size == 3


# Training


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.write_pictures(tmp_path_factory.mktemp("data") / "photos", train=6, dev=3, test=3)


def train(data: Path, output: Path, source: Path, **more: Any) -> Path:
    settings = {"pretrained": str(source), **more.pop("settings", {})}
    return vsezoo.train(RECIPE.name, data, output=output, device="cpu", settings=settings, **more).checkpoint


@pytest.fixture(scope="module")
def trained(source: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch."""
    with registry.session():
        register_dual()
        return train(data, tmp_path_factory.mktemp("trained") / "run", source).parent


@pytest.mark.slow
def test_a_training_loads_them_into_every_part(source: Path, data: Path, trained: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "still", source, settings={"training.learning_rate": 1e-30})
    still, scale = vsezoo.Checkpoint.open(tmp_path / "still"), write_dual(tmp_path / "clip").logit_scale
    assert_same(still.model(), make(source))
    assert still.loss().log_scale == scale
    model = vsezoo.load(trained)
    assert model.similarity.log_scale != scale
    assert model.image_encoder.bias.abs().max() > 0
    towers = make(source)
    for trained, given in zip(
        model.text_encoder.tower.parameters(), towers.text_encoder.tower.parameters(), strict=True
    ):
        assert torch.equal(trained, given)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits(source: Path, data: Path, trained: Path, tmp_path: Path) -> None:
    epochs = {"training.num_epochs": 2}
    train(data, tmp_path / "whole", source, settings=epochs)
    shutil.copytree(trained, tmp_path / "halves")
    held = load_file(tmp_path / "halves" / "last" / "state.safetensors")
    assert not [name for name in held if ".tower." in name and not name.startswith("optimizer.")]
    vsezoo.train(RECIPE.name, output=tmp_path / "halves", settings=epochs, resume=True, device="cpu")
    first, second = (tmp_path / name / "last" / "state.safetensors" for name in ("whole", "halves"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.slow
def test_a_training_that_begins_with_such_a_checkpoint(source: Path, data: Path, trained: Path, tmp_path: Path) -> None:
    first = trained / "best"
    second = train(data, tmp_path / "second", source, init=first, settings={"training.learning_rate": 1e-30})
    assert read_config(second)["left_out"] == read_config(first)["left_out"]
    before, after = vsezoo.load(first), vsezoo.load(second)
    torch.testing.assert_close(after.encode_images(PICTURES), before.encode_images(PICTURES))
    assert after.similarity.log_scale == before.similarity.log_scale


@pytest.mark.slow
def test_an_importer_of_a_folder(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = vsezoo.convert(source, format="tiny-dual")
    assert made.checkpoint == Path("runs/tiny-clip")
    assert made.config["converted"]["files"].keys() >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert "left_out" not in made.config
    checkpoint = vsezoo.Checkpoint.open(made.checkpoint)
    assert_same(checkpoint.model(), make(source))
    assert checkpoint.loss().log_scale == checkpoint.model().similarity.log_scale


# The fixture that transformers computed


@pytest.mark.slow
@needs_fixtures
def test_a_clip_of_transformers(tmp_path: Path) -> None:
    fixture = FIXTURES / "dual_clip"
    expected = np.load(fixture / "expected.npz")
    captions = (fixture / "captions.txt").read_text(encoding="utf-8").splitlines()
    for model in (
        make(fixture),
        vsezoo.load(vsezoo.convert(fixture, tmp_path / "converted", format="tiny-dual").checkpoint),
    ):
        texts = model.encode_texts(captions).clone()
        assert np.abs(texts.numpy() - expected["text_embeds"]).max() < 1e-5
        pixels = torch.from_numpy(expected["pixel_values"])
        with torch.no_grad():
            images = model.image_encoder(pixels)
        assert np.abs(images.numpy() - expected["image_embeds"]).max() < 1e-5
        assert np.abs(model.similarity(images, texts).detach().numpy() - expected["logits_per_image"]).max() < 1e-4
