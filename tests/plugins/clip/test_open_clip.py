"""Dual encoders of open_clip: opened from safetensors, compared with the library, converted both ways."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pictures
import processes
import pytest
import tiny_bert
import torch
import transformers
from originals import FIXTURES, needs_fixtures, read_arrays
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

import vsezoo
from vsezoo.errors import CheckpointError, UsageError

open_clip = pytest.importorskip("open_clip")

CAPTIONS = ["a dog", "the red thing is small", "dogs", "Tom &amp; Jerry\u2019s  CAT"]
PICTURES = [pictures.draw(0), pictures.draw(3, 50)]
VISION = {"image_size": 32, "layers": 2, "width": 24, "patch_size": 8, "head_width": 12}
TEXT = {"context_length": 14, "vocab_size": len(tiny_bert.PIECES), "width": 16, "heads": 2, "layers": 2}
HF = {"hf_tokenizer_name": "here", "tokenizer_kwargs": {"clean": "canonicalize"}}
LAST = {"pool_type": "last", "no_causal_mask": True}
STRIPPED = {"tokenizer_kwargs": {"clean": "whitespace", "strip_sep_token": True}}
FORMS: dict[str, dict[str, Any]] = {
    "clip": {"text_cfg": {**TEXT, "context_length": 20, "vocab_size": 49408}, "quick_gelu": True},
    "custom": {"text_cfg": {**TEXT, "vocab_size": 49408}, "custom_text": True, "init_logit_bias": -4.0},
    "last": {"text_cfg": {**TEXT, **HF, **LAST}, "custom_text": True},
    "clipa": {  # its end marks become 0; no size of its vocabulary; a size of pictures that is not the model's
        "text_cfg": {"context_length": 9, "width": 20, "heads": 2, "layers": 1, **HF, **LAST, **STRIPPED},
        "vision_cfg": {**VISION, "image_size": [32, 48], "pool_type": "avg", "final_ln_after_pool": True},
        "custom_text": True,
    },
    "worldwide": {"text_cfg": {**TEXT, "hf_tokenizer_name": "here", "pool_type": "eos", "eos_id": 3}},
    "canonical": {"text_cfg": {"layers": 1, "width": 16, "heads": 1, "tokenizer_kwargs": {"clean": "canonicalize"}}},
    "mobile": {
        "text_cfg": {**TEXT, "vocab_size": 49408, "no_causal_mask": True},
        "vision_cfg": {"image_size": 64, "timm_model_name": "test_resnet", "timm_pool": "avg", "timm_proj": "linear"},
        "custom_text": True,
    },
}


Computed = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Find = Callable[[str], tuple[Path, Computed]]


def write(folder: Path, form: str) -> Any:
    """Write a model of open_clip with random weights, and return it."""
    config = {"embed_dim": 8, "vision_cfg": VISION, **FORMS[form]}
    torch.manual_seed(4)
    known = {name: value for name, value in config.items() if name != "custom_text"}
    model = (open_clip.CustomTextCLIP if "custom_text" in config else open_clip.CLIP)(**known).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    folder.mkdir(parents=True)
    prefix = "module." if form == "worldwide" else ""
    tensors = {f"{prefix}{name}": tensor for name, tensor in model.state_dict().items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    preprocess = {
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.2],
        "resize_mode": "squash" if form == "last" else "shortest",
        "size": 48,
        "unknown": 1,
    }
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    if "hf_tokenizer_name" in config["text_cfg"]:
        tiny_bert.write_tokenizer(folder)
    return model


def compute(folder: Path) -> Computed:
    """Return what the library computes of the folder, loaded by itself: embeddings, and logits."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(CAPTIONS)
    with torch.no_grad():
        images = model.eval().encode_image(torch.stack([transform(picture) for picture in PICTURES]), normalize=True)
        texts = model.encode_text(tokens, normalize=True)
        logits = model.logit_scale.exp() * images @ texts.T
    return images, texts, logits if model.logit_bias is None else logits + model.logit_bias.detach()


@pytest.fixture(scope="module")
def find(tmp_path_factory: pytest.TempPathFactory) -> Find:
    """Return the folder of a form and what the library computes of it, both made once and not to be changed."""

    @functools.cache
    def make(form: str) -> tuple[Path, Computed]:
        folder = tmp_path_factory.mktemp(form) / "model"
        write(folder, form)
        return folder, compute(folder)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_embeddings_and_logits_are_those_of_open_clip(form: str, find: Find, tmp_path: Path) -> None:
    folder, expected = find(form)
    converted = vsezoo.convert(folder, tmp_path / "converted").checkpoint
    for reference in (folder, converted):
        model = vsezoo.load(reference)
        images, texts = model.encode_images(PICTURES).clone(), model.encode_texts(CAPTIONS).clone()
        torch.testing.assert_close(images, expected[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(texts, expected[1], rtol=0, atol=1e-5)
        scores = model.similarity.compare(images, texts).detach()
        torch.testing.assert_close(scores, expected[2], rtol=0, atol=1e-4)
    side = vsezoo.Checkpoint.open(folder).text_side()
    torch.testing.assert_close(side.encode_texts(CAPTIONS).clone(), expected[1], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["clip", "last"])
def test_and_back(form: str, find: Find, tmp_path: Path) -> None:
    folder, computed = find(form)
    made = vsezoo.convert(folder, tmp_path / "converted").checkpoint
    (tmp_path / "back").mkdir()
    vsezoo.export(made, "open_clip", tmp_path / "back" / "open_clip_model.safetensors")
    for found, expected in zip(compute(tmp_path / "back"), computed, strict=True):
        assert torch.equal(found, expected)
    with pytest.raises(UsageError, match="is not a dual encoder of transformers"):
        vsezoo.export(made, "transformers", tmp_path / "back" / "model.safetensors")


@pytest.mark.slow
def test_a_text_tower_of_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """open_clip has but its name; the checkpoint has its configuration, and needs neither the name nor a network."""
    transformers.BertConfig(**tiny_bert.SIZES).save_pretrained(tmp_path / "bert")
    names = {"hf_model_name": str(tmp_path / "bert"), "hf_tokenizer_name": "here", "hf_model_pretrained": False}
    network = {"hf_proj_type": "mlp", "hf_pooler_type": "mean_pooler", "context_length": 12}
    monkeypatch.setitem(FORMS, "hf", {"text_cfg": {**names, **network}, "custom_text": True})
    write(tmp_path / "model", "hf")
    expected = compute(tmp_path / "model")
    made = vsezoo.convert(tmp_path / "model", tmp_path / "converted").checkpoint
    (tmp_path / "back").mkdir()
    vsezoo.export(made, "open_clip", tmp_path / "back" / "open_clip_model.safetensors")
    for found, wanted in zip(compute(tmp_path / "back"), expected, strict=True):
        assert torch.equal(found, wanted)
    shutil.rmtree(tmp_path / "bert")
    model = vsezoo.load(made)
    images, texts = model.encode_images(PICTURES).clone(), model.encode_texts(CAPTIONS).clone()
    torch.testing.assert_close(images, expected[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(texts, expected[1], rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_pickle_beside_it_is_not_read(find: Find, tmp_path: Path) -> None:
    shutil.copytree(find("clip")[0], tmp_path / "model")
    (tmp_path / "model" / "open_clip_pytorch_model.bin").write_bytes(b"cposix\nsystem\n(S'false'\ntR.")
    expected = vsezoo.load(tmp_path / "model").encode_texts(CAPTIONS)
    assert expected.isfinite().all()
    (tmp_path / "model" / "open_clip_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors"):
        vsezoo.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("text_cfg", {"hf_model_name": "bert"}, r"needs the config\.json of its text tower, bert, which cannot be had"),
        ("text_cfg", {"hf_model_name": "../bert"}, "is neither a folder nor a repository"),
        ("text_cfg", {"tokenizer_mode": "clips"}, "its captions are cut in the mode 'clips'"),
        ("text_cfg", {"tokenizer_kwargs": {"reduction_mask": "simple"}}, "a tokenizer with 'reduction_mask'"),
        ("text_cfg", {"tokenizer_kwargs": {"clean": "whitespace"}}, "a tokenizer with 'clean=whitespace'"),
        ("text_cfg", {"pool_type": "eos", "eos_id": 7}, "a tokenizer that does not belong to it: .* id 7"),
        ("embed_dim", None, "does not describe a model"),
        ("text_cfg", {"vocab_size": 9}, "has a tokenizer of 49,408 ids, but the model has 9"),
        ("text_cfg", {"layers": 3}, "lacks tensors"),
        ("vision_cfg", {"width": 36}, "of shape"),
        ("vision_cfg", {"timm_model_name": "nothing"}, "open_clip cannot make the model"),
        ("vision_cfg", {"made_up": 1}, "open_clip cannot make the model"),
        ("multimodal_cfg", {"width": 3}, r"it writes captions \(CoCa\)"),
    ],
)
@pytest.mark.slow
def test_folders_that_cannot_be_used(
    find: Find, tmp_path: Path, part: str, changes: dict[str, Any] | None, message: str
) -> None:
    shutil.copytree(find("clip")[0], tmp_path / "bad")
    path = tmp_path / "bad" / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"][part] = changes and {**config["model_cfg"].get(part, {}), **changes}
    path.write_text(json.dumps(config))
    (tmp_path / "texts.txt").write_text("a dog\n")
    done = commands.run_command(tmp_path, "embed", "bad", "--texts", "texts.txt", "--output", "x.npy")
    processes.assert_one_message(done, 1, message)


@needs_fixtures
@pytest.mark.slow
def test_what_open_clip_computed(tmp_path: Path) -> None:
    fixture = FIXTURES / "dual_openclip"
    expected = read_arrays(fixture / "expected.npz")
    shutil.copytree(fixture, tmp_path / "model")
    model = vsezoo.load(tmp_path / "model")
    captions = (fixture / "captions.txt").read_text(encoding="utf-8").splitlines()
    images = model.encode_images([Image.open(fixture / f"picture{index}.png") for index in range(3)]).clone()
    texts = model.encode_texts(captions).clone()
    assert np.abs(images.numpy() - expected["image_embeds"]).max() < 1e-5
    assert np.abs(texts.numpy() - expected["text_embeds"]).max() < 1e-5
    scores = model.similarity.compare(images, texts).detach().numpy()
    assert np.abs(scores - expected["logits_per_image"]).max() < 1e-4
    assert functional.normalize(images, dim=-1).allclose(images)
