"""A folder or a repository of a dual encoder is used wherever a checkpoint is; and what is refused, and how."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import commands
import dual_families
import numpy as np
import pictures
import processes
import pytest
import torch
from originals import FIXTURES, needs_fixtures, read_arrays
from safetensors.torch import load_file, save_file

import vsezoo
from vsezoo.errors import CheckpointError, RecipeError, VsezooWarning
from vsezoo_clip.families import FAMILIES
from vsezoo_clip.pieces import read_pieces
from vsezoo_clip.tokenizer import CaptionForm, DualTokenizer

CAPTIONS = ["a dog", "the red thing"]


@pytest.fixture
def source(tiny_clip: Path) -> Path:
    return tiny_clip


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return pictures.write_photos(tmp_path / "photos", 4)


def edit(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        where, _, inner = name.partition("__")
        if inner:
            config[where][inner] = value
        else:
            config[where] = value
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.slow
def test_search_embed_show_and_eval(source: Path, photos: Path, tmp_path: Path) -> None:
    model = vsezoo.load(source)
    done = commands.run_command(tmp_path, "search", source, "a dog", "--images", photos, "--json")
    hits = json.loads(done.stdout)["hits"]
    images = model.encode_images([pictures.draw(index) for index in range(4)])
    scores = model.similarity.compare(images, model.encode_texts(["a dog"]))[:, 0].detach()
    assert [hit["id"] for hit in hits] == [f"{index}.png" for index in scores.argsort(descending=True).tolist()]
    assert hits[0]["score"] == pytest.approx(float(scores.max()), abs=1e-5)
    (tmp_path / "queries.txt").write_text("\n".join(CAPTIONS))
    flags = ["--images", photos, "--texts", "queries.txt", "--output", "both.safetensors"]
    assert commands.run_command(tmp_path, "embed", source, *flags).code == 0
    written = load_file(tmp_path / "both.safetensors")
    torch.testing.assert_close(written["images"], images.clone(), rtol=0, atol=1e-6)
    torch.testing.assert_close(written["texts"], model.encode_texts(CAPTIONS).clone(), rtol=0, atol=1e-6)
    shown = json.loads(commands.run_command(tmp_path, "show", source, "--json").stdout)
    assert shown["recipe"]["image_encoder"]["options"]["backend"] == "torchvision"
    lines = "".join(f"{index}.png,a dog,test\n" for index in range(4))
    (photos / "captions.csv").write_text(f"image,caption,split\n{lines}")
    done = commands.run_command(tmp_path, "eval", source, "--data", photos, "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["checkpoints"][0]["model"] == "clip"
    done = commands.run_command(tmp_path, "eval", source)
    processes.assert_one_message(done, 2, r"tiny-clip: does not say what data set it was trained on\.\nName the data")


@pytest.mark.slow
def test_explain(source: Path, photos: Path) -> None:
    """Through frozen towers; the image tower has the output of its patch embedding as the last feature map."""
    model = vsezoo.load(source)
    found = vsezoo.explain(model, pictures.draw(0), "a dog runs")
    assert found.words[0] == "[CLS]"
    assert "dog" in found.words
    assert (found.regions.grid, found.region_weights.shape) == ((4, 4), (1, 16))
    assert abs(found.region_weights).max() > 1e-5
    assert abs(found.word_weights).max() > 1e-5


@pytest.mark.slow
def test_features_of_the_image_tower(source: Path, photos: Path, tmp_path: Path) -> None:
    flags = ["--backbone", source, "--workers", "0"]
    done = commands.run_command(tmp_path, "features", photos, *flags, "--output", "features", "--json")
    assert done.code == 0, done.stderr
    written = np.load(tmp_path / "features" / "all_ims.npy")
    images = vsezoo.load(source).encode_images([pictures.draw(index) for index in range(4)]).clone()
    torch.testing.assert_close(dual_families.normalise(torch.from_numpy(written)), images, rtol=0, atol=1e-6)
    assert not np.allclose(np.linalg.norm(written, axis=1), 1, atol=0.01)
    recorded = json.loads((tmp_path / "features" / "features.json").read_text())["settings"]["backbone"]
    assert (recorded["name"], recorded["source"]) == ("tiny-clip", "model")
    done = commands.run_command(tmp_path, "features", photos, *flags, "--grid", "--output", "other")
    processes.assert_one_message(done, 2, r"--grid does not apply to --backbone .*tiny-clip")


@pytest.mark.slow
def test_what_is_loaded_inside_inference_mode_can_be_trained(source: Path) -> None:
    with torch.inference_mode():
        opened, made = vsezoo.load(source), vsezoo.create_model("clip", settings={"pretrained": str(source)})
    for model in (opened, made):
        assert not any(parameter.is_inference() for parameter in model.parameters())
        assert torch.equal(model.encode_texts(CAPTIONS), opened.encode_texts(CAPTIONS))


@pytest.mark.slow
def test_the_checkpoint_that_is_kept_is_small_and_made_once(source: Path) -> None:
    first, second = vsezoo.Checkpoint.open(source), vsezoo.Checkpoint.open(source)
    assert first.folder == second.folder != source
    assert sum(path.stat().st_size for path in first.folder.iterdir()) < (source / "model.safetensors").stat().st_size
    assert first.config["left_out"]["tiny-clip"]["parts"] == ["image_encoder", "text_encoder"]
    side = first.text_side()
    assert torch.equal(side.encode_texts(CAPTIONS), second.model().encode_texts(CAPTIONS))


@pytest.mark.slow
def test_changed_weights_are_another_checkpoint(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    before = vsezoo.load(tmp_path / "copy").encode_texts(CAPTIONS).clone()
    file = tmp_path / "copy" / "model.safetensors"
    save_file({name: 1.5 * tensor for name, tensor in load_file(file).items()}, file, {"format": "pt"})
    assert not torch.allclose(vsezoo.load(tmp_path / "copy").encode_texts(CAPTIONS), before)


@pytest.mark.slow
def test_it_can_be_trained_from(source: Path, photos: Path, tmp_path: Path) -> None:
    lines = "".join(f"{index}.png,{colour} thing,train\n" for index, colour in enumerate(["red", "green", "blue"]))
    (photos / "captions.csv").write_text(f"image,caption,split\n{lines}3.png,a white thing,dev\n")
    settings = {"pretrained": str(source), "training.num_epochs": 1, "training.batch_size": 4}
    folder = tmp_path / "run"
    vsezoo.train("clip", photos, output=folder, settings={**settings, "text_encoder.finetune": True})
    trained, untrained = vsezoo.load(folder), vsezoo.load(source)
    assert not torch.equal(trained.encode_texts(CAPTIONS), untrained.encode_texts(CAPTIONS))
    drawn = [pictures.draw(0)]
    assert torch.equal(trained.encode_images(drawn), untrained.encode_images(drawn))
    assert trained.similarity.scale != untrained.similarity.scale


# What is refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"auto_map": {"AutoModel": "modeling.Model"}}, r"asks for code of its own \(auto_map in config\.json\)"),
        ({"model_type": "bridgetower"}, r"cannot be used: the embedding of a caption depends on the image"),
        ({"model_type": "siglip2"}, r"cannot be used: .*NaFlex"),
        ({"architectures": ["CLIPForImageClassification"]}, r"another task \(CLIPForImageClassification\): the dual"),
        (
            {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
            r"another task \(ViTForImageClassification\): it does not embed both",
        ),
        (
            {"text_config__eos_token_id": 7},
            r"a tokenizer that does not belong to it: .* id 7, which its captions do not",
        ),
        ({"text_config__eos_token_id": 2}, r"a tokenizer that does not belong to it"),
        ({"text_config__hidden_size": 18}, r"has the tensor .* of shape"),
        ({"text_config__num_hidden_layers": 3}, r"lacks the tensors text_model\.encoder\.layers\.2"),
        ({"text_config__vocab_size": 9}, r"has a tokenizer of 30 ids, but the model has 9 word embeddings"),
        ({"text_config__hidden_size": "wide"}, r"has a config\.json that cannot be read: .*hidden_size"),
        ({"model_type": "flava", "architectures": ["FlavaModel"]}, r"family .* that is not supported \(FlavaModel\)"),
        ({"model_type": "llava", "architectures": ["LlavaForConditionalGeneration"]}, r"another task \(LlavaFor"),
        ({"model_type": 3}, r"is of a family .* \(CLIPModel\)"),
    ],
)
def test_folders_that_are_no_dual_encoder(
    source: Path, tmp_path: Path, photos: Path, changes: dict[str, Any], message: str
) -> None:
    shutil.copytree(source, tmp_path / "bad")
    edit(tmp_path / "bad", **changes)
    done = commands.run_command(tmp_path, "search", "bad", "a dog", "--images", photos)
    processes.assert_one_message(done, 1, message)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("preprocessor_config.json", r"lacks the settings of its image processor"),
        ("tokenizer.json", r"has no tokenizer \(tokenizer\.json\)"),
    ],
)
def test_folders_that_lack_a_file(source: Path, tmp_path: Path, name: str, message: str) -> None:
    shutil.copytree(source, tmp_path / "bad")
    (tmp_path / "bad" / name).unlink()
    with pytest.raises(CheckpointError, match=message):
        vsezoo.load(tmp_path / "bad")


def test_a_tokenizer_of_another_model(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = DualTokenizer(read_pieces(source, 12), CaptionForm(12))
    tokenizer.require_fit(source, len(dual_families.IDS), dual_families.IDS["[SEP]"])
    with pytest.raises(CheckpointError, match="which its captions do not end with"):  # but begin with
        tokenizer.require_fit(source, len(dual_families.IDS), dual_families.IDS["[CLS]"])
    monkeypatch.setattr(DualTokenizer, "__len__", lambda self: 32000)
    with pytest.warns(VsezooWarning, match=r"a tokenizer of 32,000 ids for 256,000 word embeddings: is it that of"):
        tokenizer.require_fit(source, 256000, None)
    monkeypatch.undo()
    network = {"model_type": "clip_text_model", "eos_token_id": 7, "vocab_size": 30, "max_position_embeddings": 14}
    for family in ("clip", "vision-text-dual-encoder"):  # which may have the text tower of a CLIP
        with pytest.raises(CheckpointError, match="id 7, which its captions do not end with"):
            DualTokenizer.from_pretrained(source, FAMILIES[family], network)


@pytest.mark.slow
def test_the_text_tower_alone(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "bad")
    file = tmp_path / "bad" / "model.safetensors"
    save_file({name: t for name, t in load_file(file).items() if not name.startswith("vis")}, file, {"format": "pt"})
    with pytest.raises(CheckpointError, match="lacks the tensors vision_model"):
        vsezoo.load(tmp_path / "bad")


def test_a_siglip_without_its_pooling_head(tmp_path: Path) -> None:
    dual_families.write(tmp_path / "bad", "siglip", dual_families.make("siglip", vision={"vision_use_head": False}))
    with pytest.raises(CheckpointError, match="without its pooling head"):
        vsezoo.load(tmp_path / "bad")


def test_without_pretrained_weights() -> None:
    with pytest.raises(RecipeError, match=r"has its tokenizer from pretrained weights"):
        vsezoo.create_model("clip", settings={"pretrained": ""})


# Captions


@pytest.mark.slow
def test_long_captions_are_cut_and_counted(source: Path, tmp_path: Path) -> None:
    model = vsezoo.load(source)
    long = " ".join(["dog"] * 40)
    with pytest.warns(VsezooWarning, match=r"1 of 2 captions have more than 12 ids, marks included"):
        texts = model.encode_texts([long, "a dog"]).clone()
    ids = model.tokenizer.encode(["a dog"])[0]
    assert ids[-1] == dual_families.IDS["[SEP]"]
    with pytest.warns(VsezooWarning, match=r"A caption has more than 12 ids"):
        (cut,) = model.tokenizer.encode([long])
    assert (len(cut), cut[-1]) == (12, dual_families.IDS["[SEP]"])
    assert texts.isfinite().all()


@pytest.mark.slow
def test_captions_are_cleaned_as_openais_code_does(source: Path) -> None:
    pytest.importorskip("ftfy")
    settings = {"pretrained": str(source), "text_encoder.clean": "lower"}
    model = vsezoo.create_model("clip", settings=settings)
    odd, plain = ["the dog &amp;amp; the&nbsp;dog\u2019s", "A  DOG"], ["the dog & the dog's", "a dog"]
    assert [ids.tolist() for ids in model.tokenizer.encode(odd)] == [
        ids.tolist() for ids in vsezoo.load(source).tokenizer.encode(plain)
    ]


@pytest.mark.slow
@needs_fixtures
@pytest.mark.parametrize("name", ["dual_clip", "dual_siglip"])
def test_embed_of_the_fixtures(name: str, tmp_path: Path) -> None:
    if name == "dual_siglip":
        pytest.importorskip("sentencepiece")
    fixture = FIXTURES / name
    flags = ["--images", fixture, "--texts", fixture / "captions.txt", "--output", "both.safetensors"]
    assert commands.run_command(tmp_path, "embed", fixture, *flags).code == 0
    written, expected = load_file(tmp_path / "both.safetensors"), read_arrays(fixture / "expected.npz")
    assert np.abs(written["images"].numpy() - expected["image_embeds"]).max() < 1e-5
    assert np.abs(written["texts"].numpy() - expected["text_embeds"]).max() < 1e-5


@pytest.mark.process
def test_a_search_of_embedded_pictures_needs_neither_the_image_tower_nor_transformers(source: Path) -> None:
    expected = vsezoo.load(source).encode_texts(["a dog"])[0].tolist()
    program = (
        "import sys; from vsezoo.checkpoints.opened import Checkpoint\n"
        f"model = Checkpoint.open({str(source)!r}).text_side()\n"
        "print(model.encode_texts(['a dog'])[0].tolist())\n"
        "print([name for name in ('transformers', 'torchvision', 'torch._dynamo', 'sympy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    found, loaded = done.stdout.splitlines()
    assert json.loads(found) == pytest.approx(expected, abs=1e-6)
    assert loaded == "[]"
