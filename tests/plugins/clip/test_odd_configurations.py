"""Folders unlike the usual ones, compared with transformers: other sizes, old and new files, halves and shards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dual_families
import pictures
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

import vsezoo
from vsezoo.errors import CheckpointError, RecipeError, VsezooError

CAPTIONS = ["a dog", "the red thing is small and round", "dogs", "this old blue thing and the one that is white"]
PICTURES = [pictures.draw(0), pictures.draw(3, 50), pictures.draw(4, 33)]
DUAL = "vision-text-dual-encoder"


def change_tensors(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(change(load_file(file)), file, {"format": "pt"})


def change_config(folder: Path, name: str = "config.json", **changes: Any) -> None:
    config = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps({**config, **changes}))


def write_bpe(folder: Path) -> tuple[int, int]:
    """Write CLIP's tokenizer as transformers 4 did without `tokenizer.json`; return its size and its end mark."""
    merges = ["a n", "d o", "do g</w>", "t h", "th e</w>", "r e", "re d</w>"]
    letters = [chr(index) for index in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]))
    return len(vocabulary), vocabulary["<|endoftext|>"]


def assert_same(folder: Path, family: str, model: Any) -> vsezoo.JointEmbedding:
    expected = dual_families.compute(family, model, folder, CAPTIONS, PICTURES, "torchvision")
    opened = vsezoo.load(folder)
    images, texts = opened.encode_images(PICTURES).clone(), opened.encode_texts(CAPTIONS).clone()
    torch.testing.assert_close(images, dual_families.normalise(expected[0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(texts, dual_families.normalise(expected[1]), rtol=0, atol=1e-5)
    scores = opened.similarity.compare(images, texts).detach()
    torch.testing.assert_close(scores, expected[2], rtol=0, atol=1e-4)
    return opened


@pytest.mark.slow
@pytest.mark.parametrize("eos", ["own", "two"])
def test_bfloat16_in_shards_with_a_prefix_and_a_slow_tokenizer(tmp_path: Path, eos: str) -> None:
    """CLIP with two activations, neither of which transformers takes by default, and the processor of version 5."""
    folder, size, end = tmp_path / "model", 61, 60
    marks = {"vocab_size": size, "bos_token_id": end - 1, "eos_token_id": end, "pad_token_id": end}
    text = {"hidden_act": "gelu", "hidden_size": 20, "num_attention_heads": 5, "max_position_embeddings": 40, **marks}
    vision = {"hidden_act": "gelu_new", "hidden_size": 24, "num_attention_heads": 4, "patch_size": 16}
    made = dual_families.make("clip", text, vision, projection_dim=9).to(torch.bfloat16)
    dual_families.write(folder, "clip", made)
    assert write_bpe(folder) == (size, end)
    tensors = {f"clip.{name}": tensor for name, tensor in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    index = {}
    for number, name in enumerate([*tensors, "classifier.weight"]):
        index[name] = f"model-{number % 3 + 1:05}-of-00003.safetensors"
    tensors["classifier.weight"] = torch.ones(3)
    for file in set(index.values()):
        save_file({name: tensors[name] for name in index if index[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings, "processor_class": "X"}))
    if eos == "two":  # as OpenAI's own configurations have it
        config = json.loads((folder / "config.json").read_text())
        change_config(folder, text_config={**config["text_config"], "eos_token_id": 2})
    model = transformers.CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    assert model.visual_projection.weight.equal(made.visual_projection.weight.float())
    assert assert_same(folder, "clip", model).recipe.embed_size == 9


@pytest.mark.slow
def test_a_siglip_with_short_captions_in_float16_without_scale_and_bias(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    text = {"hidden_size": 20, "projection_size": 12, "max_position_embeddings": 9}
    dual_families.write(folder, "siglip", dual_families.make("siglip", text).half())
    change_tensors(folder, lambda tensors: {name: t for name, t in tensors.items() if not name.startswith("logit")})
    model = transformers.SiglipModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = transformers.AutoTokenizer.from_pretrained(folder)(
        CAPTIONS, return_tensors="pt", truncation=True, padding="max_length", max_length=9
    )["input_ids"]
    with torch.no_grad():
        expected = dual_families.normalise(model.get_text_features(input_ids=ids).pooler_output)
    opened = vsezoo.load(folder)
    with pytest.warns(vsezoo.errors.VsezooWarning, match="more than 9 ids"):
        texts = opened.encode_texts(CAPTIONS).clone()
    torch.testing.assert_close(texts, expected, rtol=0, atol=1e-5)
    assert model.logit_scale.item() == opened.similarity.scale.item() == 0
    assert opened.similarity.bias is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "entry", "tensor", "value"),
    [
        ("clip", "logit_scale_init_value", "logit_scale", 1.5),
        ("align", "temperature_init_value", "temperature", 0.3),
    ],
)
def test_without_a_scale_it_is_that_of_the_configuration(
    tmp_path: Path, family: str, entry: str, tensor: str, value: float
) -> None:
    dual_families.write(tmp_path / "model", family, dual_families.make(family, **{entry: value}))
    change_tensors(tmp_path / "model", lambda tensors: {name: t for name, t in tensors.items() if name != tensor})
    similarity = vsezoo.Checkpoint.open(tmp_path / "model").text_side().similarity
    assert similarity.scale.item() == pytest.approx(value)
    assert similarity.form == ("divide" if family == "align" else "exp")


@pytest.mark.slow
def test_towers_of_two_other_kinds_and_oblong_pictures(tmp_path: Path) -> None:
    """ViT takes oblong pictures; RoBERTa counts positions from behind the padding id."""
    folder = tmp_path / "model"
    vision = transformers.ViTConfig(**{**dual_families.VISION, "image_size": [24, 40]})
    text = transformers.RobertaConfig(**{**dual_families.TEXT, "max_position_embeddings": 17})
    config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=5)
    torch.manual_seed(3)
    model = transformers.VisionTextDualEncoderModel(config).eval()
    dual_families.write(folder, DUAL, model)
    change_config(folder, "preprocessor_config.json", size={"height": 24, "width": 40})
    opened = assert_same(folder, DUAL, model)
    assert opened.recipe.embed_size == 5


@pytest.mark.slow
def test_towers_that_pool_nothing(tmp_path: Path) -> None:
    """The dual encoder of transformers fails with them, too."""
    vision, text = transformers.ViTConfig(**dual_families.VISION), transformers.ElectraConfig(**dual_families.TEXT)
    config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=5)
    dual_families.write(tmp_path / "bad", DUAL, transformers.VisionTextDualEncoderModel(config))
    with pytest.raises(RecipeError, match="the network of text_model pools no vector"):
        vsezoo.load(tmp_path / "bad").encode_texts(CAPTIONS)


@pytest.mark.parametrize(
    "written",
    [
        {"image_processor_type": "CLIPImageProcessorFast"},
        {"feature_extractor_type": "CLIPFeatureExtractor"},
        {"image_processor_type": "CLIPImageProcessorPil"},
        {"size": 24, "crop_size": 32, "resample": 2},
    ],
    ids=["fast", "extractor", "pil", "numbers"],
)
def test_settings_of_image_processors_of_all_ages(tmp_path: Path, tiny_clip: Path, written: dict[str, Any]) -> None:
    settings = json.loads((tiny_clip / "preprocessor_config.json").read_text())
    settings.pop("image_processor_type")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**settings, **written}))
    (tmp_path / "config.json").write_text((tiny_clip / "config.json").read_text())
    expected = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="torchvision")
    from vsezoo_clip.processor import ProcessorTransform, find_settings

    found = ProcessorTransform(find_settings(tmp_path, "clip"), "torchvision")(PICTURES)
    assert torch.equal(found, expected(images=PICTURES, return_tensors="pt")["pixel_values"])


# What is refused


def drop(part: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        change_tensors(folder, lambda tensors: {name: t for name, t in tensors.items() if part not in name})

    return change


def add(name: str) -> Callable[[Path], None]:
    return lambda folder: change_tensors(folder, lambda tensors: {**tensors, name: torch.ones(3)})


def forget(*names: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def spoil(name: str) -> Callable[[Path], None]:
    return lambda folder: change_tensors(folder, lambda tensors: {**tensors, name: tensors[name] * torch.nan})


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size]) and None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("text_projection"), r"lacks the tensors text_projection\.weight"),
        (add("vision_model.pooler.weight"), r"has the unknown tensors vision_model\.pooler\.weight"),
        (forget("tokenizer.json", "tokenizer_config.json"), r"has no tokenizer \(tokenizer\.json\)"),
        (forget("tokenizer_config.json"), r"has a tokenizer that cannot be used: Unk token"),
        (spoil("visual_projection.weight"), r"NaN or infinite in the tensor visual_projection\.weight"),
        (spoil("logit_scale"), r"NaN or infinite in the tensor logit_scale"),
        (cut("model.safetensors", 47000), r"is not a safetensors file: its tensors end at byte"),
        (cut("model.safetensors", 50), r"is not a safetensors file: it has no header"),
        (cut("config.json", 40), r"config\.json: cannot be read as JSON"),
        (cut("tokenizer.json", 40), r"has no tokenizer that can be read"),
        (cut("preprocessor_config.json", 40), r"preprocessor_config\.json: cannot be read as JSON"),
        (
            lambda folder: change_config(folder, model_type="giga", architectures=["GigaCLIP"]),
            r"that is not supported \(GigaCLIP\)",
        ),
        (
            lambda folder: change_config(folder, "preprocessor_config.json", image_processor_type="GigaProcessor"),
            r"names the image processor 'GigaProcessor', which transformers does not have",
        ),
        (
            lambda folder: change_config(folder, vision_config={"hidden_act": "wobble"}),
            r"transformers cannot make the network of vision_config: 'wobble'",
        ),
    ],
)
def test_folders_that_do_not_fit(tmp_path: Path, tiny_clip: Path, change: Callable[[Path], None], message: str) -> None:
    folder = Path(shutil.copytree(tiny_clip, tmp_path / "bad"))
    change(folder)
    with pytest.raises(VsezooError, match=message) as raised:
        vsezoo.load(folder)
    assert isinstance(raised.value, CheckpointError)


@pytest.mark.slow
def test_an_image_processor_of_another_size(tmp_path: Path, tiny_clip: Path) -> None:
    folder = Path(shutil.copytree(tiny_clip, tmp_path / "bad"))
    change_config(folder, "preprocessor_config.json", crop_size={"height": 40, "width": 40})
    with pytest.raises(RecipeError, match="makes pictures of 40 x 40 pixels, which its network does not take"):
        vsezoo.load(folder).encode_images(PICTURES)
