"""Pretrained dual encoders, trained: low-rank adapters, heads, whole towers; what checkpoints hold, and resumption."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import commands
import dual_families
import pictures
import processes
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

import vsezoo
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.errors import CheckpointError, InterruptedTrainingError, MissingPackageError, RecipeError, UsageError
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress

CAPTIONS = ["a dog", "the red thing is small"]
PICTURES = [pictures.draw(0), pictures.draw(3, 50)]
RANKS = {"image_encoder.adapter_rank": 2, "text_encoder.adapter_rank": 3}
HEADS = {"image_encoder.head": "mlp", "text_encoder.head": "linear", "embed_size": 5}
SETTINGS = {"training.num_epochs": 2, "training.batch_size": 10, "training.learning_rate": 0.02}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights") / "tiny-clip"
    dual_families.write(folder, "clip")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.write_pictures(tmp_path_factory.mktemp("adapters") / "made", train=4, dev=3, test=2)


@pytest.fixture(scope="module")
def settings(source: Path) -> dict[str, Any]:
    return {**SETTINGS, "pretrained": str(source)}


@pytest.fixture(scope="module")
def adapted(data: Path, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose adapters were trained."""
    output = tmp_path_factory.mktemp("adapted") / "run"
    return vsezoo.train("clip", data, output=output, settings={**settings, **RANKS}).checkpoint


def read_tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint / "model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["clip", "siglip", "altclip", "chinese_clip", "blip", "vision-text-dual-encoder"])
def test_adapters_begin_as_the_pretrained_model(family: str, tmp_path: Path) -> None:
    dual_families.write(tmp_path / "model", family)
    plain = vsezoo.create_model("clip", settings={"pretrained": str(tmp_path / "model")})
    model = vsezoo.create_model("clip", settings={"pretrained": str(tmp_path / "model"), **RANKS})
    assert torch.equal(model.encode_texts(CAPTIONS), plain.encode_texts(CAPTIONS))
    assert torch.equal(model.encode_images(PICTURES), plain.encode_images(PICTURES))
    for name, encoder in model.encoders.items():
        trained = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
        assert trained
        assert all(".lora_" in name for name in trained)
        assert encoder.state_dict().keys() > plain.encoders[name].state_dict().keys()


@pytest.mark.slow
def test_an_adapter_adds_a_product_of_low_rank(source: Path) -> None:
    """`W + s B A`, also in what is written for other libraries."""
    scale = 0.5
    model = vsezoo.create_model(
        "clip", settings={"pretrained": str(source), **RANKS, "text_encoder.adapter_scale": scale}
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_" in name:
                parameter.normal_(0, 0.3, generator=torch.Generator().manual_seed(len(name)))
    encoder: Any = model.text_encoder
    adapter = encoder.adapters["text_model/encoder/layers/1/mlp/fc1"]
    assert (adapter["a"].weight.shape, adapter["b"].weight.shape) == ((3, 16), (24, 3))
    layer = encoder.tower.get_submodule("text_model.encoder.layers.1.mlp.fc1")
    inputs = torch.randn(4, 16)
    name = "text_model.encoder.layers.1.mlp.fc1"
    weight = load_file(source / "model.safetensors")[f"{name}.weight"]
    merged = weight + scale * adapter["b"].weight @ adapter["a"].weight
    torch.testing.assert_close(layer(inputs), functional.linear(inputs, merged, layer.bias))
    torch.testing.assert_close(encoder.export_tower()[f"{name}.weight"], merged)


@pytest.mark.slow
def test_only_adapters_and_heads_are_trained_and_stored(
    source: Path, data: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    done = vsezoo.train("clip", data, output=tmp_path / "run", settings={**settings, **RANKS, **HEADS})
    tensors = read_tensors(done.checkpoint)
    parts = {".".join(name.split(".")[:2]) for name in tensors}
    sides = {f"{side}_encoder.{part}" for side in ("image", "text") for part in ("adapters", "head")}
    assert parts == sides | {"similarity.scale"}
    assert (tmp_path / "run" / "last").is_dir()
    model = vsezoo.load(done.checkpoint)
    frozen = {**load_file(source / "model.safetensors")}
    for name, tensor in model.state_dict().items():
        if ".tower." in name:
            assert torch.equal(tensor, frozen[name.partition(".tower.")[2]])
    assert any(tensor.abs().max() > 0 for name, tensor in tensors.items() if name.endswith(".b.weight"))
    config = json.loads((done.checkpoint / "config.json").read_text())
    assert config["left_out"]["tiny-clip"]["parts"] == ["image_encoder", "text_encoder"]
    side = vsezoo.Checkpoint.open(done.checkpoint).text_side()
    assert torch.equal(side.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS))
    assert vsezoo.evaluate(done.checkpoint, data, split="test").metrics == done.evaluation.metrics


@pytest.mark.slow
def test_other_weights_below_adapters_are_refused(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "tiny")
    model = vsezoo.create_model("clip", settings={"pretrained": str(tmp_path / "tiny"), **RANKS})
    save_checkpoint(tmp_path / "run", model, {"name": "mine", "kind": "picture", "image_shape": []}, {})
    file = tmp_path / "tiny" / "model.safetensors"
    save_file({name: 1.5 * tensor for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match="but the model was trained with"):
        vsezoo.load(tmp_path / "run")


class Stop(Callback):
    def step(self, progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_a_run_with_adapters_resumes(data: Path, adapted: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    changed = {**settings, **RANKS}
    with pytest.raises((KeyboardInterrupt, InterruptedTrainingError)):
        vsezoo.train("clip", data, output=tmp_path / "run", settings=changed, save_step=1, callbacks=[Stop()])
    resumed = vsezoo.train("clip", data, output=tmp_path / "run", resume=True)
    expected = read_tensors(adapted)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in read_tensors(resumed.checkpoint).items())


@pytest.mark.slow
def test_a_trained_model_is_written_for_transformers(adapted: Path, tmp_path: Path) -> None:
    vsezoo.export(adapted, "transformers", tmp_path / "model.safetensors")
    model, again = vsezoo.load(adapted), vsezoo.load(tmp_path)
    torch.testing.assert_close(again.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS), rtol=0, atol=1e-5)
    torch.testing.assert_close(again.encode_images(PICTURES), model.encode_images(PICTURES), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_linear_head_begins_as_the_identity(source: Path) -> None:
    plain = vsezoo.create_model("clip", settings={"pretrained": str(source)})
    heads = {"image_encoder.head": "linear", "text_encoder.head": "mlp", "embed_size": plain.recipe.embed_size}
    model = vsezoo.create_model("clip", settings={"pretrained": str(source), **heads})
    torch.testing.assert_close(model.encode_texts(CAPTIONS), plain.encode_texts(CAPTIONS), rtol=0, atol=1e-6)
    torch.testing.assert_close(model.encode_images(PICTURES), plain.encode_images(PICTURES), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_recipe_of_heads(data: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    done = vsezoo.train("vse-on-clip", data, output=tmp_path / "run", settings={**settings, "embed_size": 7})
    assert vsezoo.load(done.checkpoint).encode_texts(CAPTIONS).shape == (2, 7)
    parts = {".".join(name.split(".")[:2]) for name in read_tensors(done.checkpoint)}
    assert parts == {"image_encoder.head", "text_encoder.head"}
    (tmp_path / "back").mkdir()
    with pytest.raises(UsageError, match=r"'transformers' has only those"):
        vsezoo.export(done.checkpoint, "transformers", tmp_path / "back" / "model.safetensors")


def test_heads_are_not_written_for_other_libraries(source: Path) -> None:
    model = vsezoo.create_model("clip", settings={"pretrained": str(source), **HEADS})
    for encoder in model.encoders.values():
        with pytest.raises(UsageError, match=r"its (mlp|linear) head cannot be written"):
            encoder.export_tower()  # type: ignore[operator]


@pytest.mark.slow
def test_open_clip(data: Path, tmp_path: Path) -> None:
    """Its transformers have attention that does not call linear layers; those behind it have adapters."""
    pytest.importorskip("open_clip")
    import test_open_clip

    test_open_clip.write(tmp_path / "source", "custom")
    encoders = {"image_encoder": "open-clip", "text_encoder": "open-clip"}
    changed = {**encoders, **SETTINGS, "pretrained": str(tmp_path / "source"), **RANKS}
    done = vsezoo.train("clip", data, output=tmp_path / "run", settings=changed)
    names = {name.rsplit(".", 2)[0] for name in read_tensors(done.checkpoint)}
    assert "text_encoder.adapters.network/transformer/resblocks/1/mlp/c_fc" in names
    assert not any("attn" in name for name in names)
    (tmp_path / "back").mkdir()
    vsezoo.export(done.checkpoint, "open_clip", tmp_path / "back" / "open_clip_model.safetensors")
    model, again = vsezoo.load(done.checkpoint), vsezoo.load(tmp_path / "back")
    torch.testing.assert_close(again.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS), rtol=0, atol=1e-5)


# What is refused


def test_without_peft(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingPackageError, match=r"low-rank adapters \(adapter_rank\) needs? peft") as caught:
        vsezoo.create_model("clip", settings={"pretrained": str(source), **RANKS})
    assert "python -m pip install 'vsezoo[adapters]'" in str(caught.value)


def test_adapters_and_the_whole_tower(source: Path) -> None:
    with pytest.raises(RecipeError, match="finetune trains the whole tower, and adapter_rank is 2"):
        vsezoo.create_model("clip", settings={"pretrained": str(source), **RANKS, "image_encoder.finetune": True})


@pytest.mark.slow
def test_a_tower_without_linear_layers(tmp_path: Path) -> None:
    dual_families.write(tmp_path / "align", "align")
    with pytest.raises(RecipeError, match=r"a low-rank adapter belongs to a linear layer, and this tower has none"):
        vsezoo.create_model("clip", settings={"pretrained": str(tmp_path / "align"), **RANKS})


def test_heads_without_a_width(source: Path, data: Path, tmp_path: Path) -> None:
    flags = ("--pretrained", source, "--set", "image_encoder.head=linear", "--set", "text_encoder.head=linear")
    done = commands.run_command(tmp_path, "train", "clip", *flags, "--data", data)
    processes.assert_one_message(done, 2, r"embed_size of 'clip' is not set.*\n.*--embed-size N")
