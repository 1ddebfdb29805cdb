"""Every family of dual encoders: its folder opens as a checkpoint, and gives what transformers gives."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import dual_families
import numpy as np
import pictures
import pytest
import torch
from originals import FIXTURES, needs_fixtures
from PIL import Image
from safetensors.torch import load_file, save_file

import vsezoo
from vsezoo_clip.families import FAMILIES

CAPTIONS = ["a dog", "the red thing is small and round", "dogs", "this old blue thing and the one that is white"]
PICTURES = [pictures.draw(0), pictures.draw(3, 50), pictures.draw(4, 33)]


class Source(NamedTuple):
    """A model of transformers, its folder, and what transformers computes of it."""

    original: Any
    folder: Path
    computed: tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def find(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Source]:
    """Return the source of a family, which is made once and not to be changed."""

    @functools.cache
    def make(family: str) -> Source:
        folder = tmp_path_factory.mktemp(family) / "model"
        original = dual_families.write(folder, family)
        computed = dual_families.compute(family, original, folder, CAPTIONS, PICTURES, "torchvision")
        return Source(original, folder, computed)

    return make


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_embeddings_and_logits_are_those_of_transformers(family: str, find: Callable[[str], Source]) -> None:
    original, folder, (*embeddings, logits) = find(family)
    model = vsezoo.load(folder)
    images, texts = model.encode_images(PICTURES).clone(), model.encode_texts(CAPTIONS).clone()
    assert len({tuple(row) for row in texts.round(decimals=3).tolist()}) == len(CAPTIONS)
    torch.testing.assert_close(images, dual_families.normalise(embeddings[0]), rtol=0, atol=1e-5)
    torch.testing.assert_close(texts, dual_families.normalise(embeddings[1]), rtol=0, atol=1e-5)
    scores = model.similarity.compare(images, texts).detach()
    torch.testing.assert_close(scores, logits, rtol=0, atol=1e-4)
    # One at a time, nothing else in the batch to pad for.
    alone = torch.cat([model.encode_texts([caption]) for caption in CAPTIONS])
    torch.testing.assert_close(alone, texts, rtol=0, atol=1e-5)
    # The other backend of the image processor.
    expected = dual_families.compute(family, original, folder, CAPTIONS, PICTURES, "pil")
    settings = {"pretrained": str(folder), "image_encoder.backend": "pil"}
    model = vsezoo.create_model("clip", settings=settings)
    images = model.encode_images(PICTURES).clone()
    torch.testing.assert_close(images, dual_families.normalise(expected[0]), rtol=0, atol=1e-5)
    scores = model.similarity.compare(images, texts).detach()
    torch.testing.assert_close(scores, expected[2], rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", ["clip", "align", "siglip"])
@pytest.mark.slow
def test_features_that_are_not_normalised(family: str, find: Callable[[str], Source]) -> None:
    _, folder, (images, texts, _) = find(family)
    plain = {"image_encoder.normalize": False, "text_encoder.normalize": False}
    model = vsezoo.create_model("clip", settings={"pretrained": str(folder), **plain})
    torch.testing.assert_close(model.encode_images(PICTURES).clone(), images, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.encode_texts(CAPTIONS).clone(), texts, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_only_the_outer_projection_dim(tmp_path: Path) -> None:
    """The classes of single towers in transformers take the inner one, which is 512 by default."""
    original = dual_families.write(tmp_path / "model", "clip", dual_families.make("clip", projection_dim=5))
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["text_config"].get("projection_dim", 512) != 5
    assert vsezoo.load(tmp_path / "model").recipe.embed_size == original.config.projection_dim == 5


@pytest.mark.slow
def test_buffers_and_names_of_earlier_versions(tmp_path: Path) -> None:
    original = dual_families.write(tmp_path / "model", "vision-text-dual-encoder")
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    tensors["text_model.embeddings.position_ids"] = torch.arange(14)[None]
    save_file(tensors, file, {"format": "pt"})
    expected = dual_families.compute(
        "vision-text-dual-encoder", original, tmp_path / "model", CAPTIONS, PICTURES, "torchvision"
    )
    texts = vsezoo.load(tmp_path / "model").encode_texts(CAPTIONS).clone()
    torch.testing.assert_close(texts, dual_families.normalise(expected[1]), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_clip_inside_a_vision_text_dual_encoder_of_transformers_4(tmp_path: Path) -> None:
    from transformers import BertConfig, CLIPVisionConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    vision, text = CLIPVisionConfig(**dual_families.VISION), BertConfig(**dual_families.TEXT)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=6)
    original = dual_families.write(
        tmp_path / "model", "vision-text-dual-encoder", VisionTextDualEncoderModel(config).eval()
    )
    expected = vsezoo.load(tmp_path / "model").encode_images(PICTURES).clone()
    file = tmp_path / "model" / "model.safetensors"
    tensors = {name.replace("vision_model.", "vision_model.vision_model."): t for name, t in load_file(file).items()}
    save_file(tensors, file, {"format": "pt"})
    torch.testing.assert_close(vsezoo.load(tmp_path / "model").encode_images(PICTURES).clone(), expected)
    assert original.config.projection_dim == 6


@pytest.mark.slow
def test_an_eos_of_2_means_the_largest_id(tmp_path: Path) -> None:
    """As in configurations of before transformers 4.31; here the mark with the largest id is not [SEP]."""
    folder = tmp_path / "model"
    original = dual_families.write(
        folder, "clip", dual_families.make("clip", {"vocab_size": len(dual_families.tiny_bert.PIECES)})
    )
    _move_end_mark(folder, len(dual_families.tiny_bert.PIECES) - 1)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["eos_token_id"] = 2
    (folder / "config.json").write_text(json.dumps(config))
    original.text_model.eos_token_id = 2
    expected = dual_families.compute("clip", original, folder, CAPTIONS, PICTURES, "torchvision")
    torch.testing.assert_close(
        vsezoo.load(folder).encode_texts(CAPTIONS).clone(), dual_families.normalise(expected[1]), rtol=0, atol=1e-5
    )


def _move_end_mark(folder: Path, place: int) -> None:
    """Give the end mark of the tokenizer another id, and its own to the word that had that one."""
    content = json.loads((folder / "tokenizer.json").read_text())
    vocabulary, end = content["model"]["vocab"], dual_families.IDS["[SEP]"]
    other = next(word for word, index in vocabulary.items() if index == place)
    vocabulary["[SEP]"], vocabulary[other] = place, end
    content["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [place]
    for token in content["added_tokens"]:
        token["id"] = place if token["content"] == "[SEP]" else token["id"]
    (folder / "tokenizer.json").write_text(json.dumps(content))


# The fixtures


def read_expected(fixture: Path) -> tuple[dict[str, np.ndarray], list[str], list[Image.Image]]:
    with np.load(fixture / "expected.npz") as arrays:
        expected = dict(arrays)
    captions = (fixture / "captions.txt").read_text(encoding="utf-8").splitlines()
    return expected, captions, [Image.open(fixture / f"picture{index}.png") for index in range(3)]


@needs_fixtures
@pytest.mark.parametrize("backend", ["torchvision", "pil"])
@pytest.mark.parametrize("name", ["dual_clip", "dual_siglip"])
@pytest.mark.slow
def test_what_transformers_computed(name: str, backend: str, tmp_path: Path) -> None:
    if name == "dual_siglip":
        pytest.importorskip("sentencepiece")
    fixture = FIXTURES / name
    expected, captions, pngs = read_expected(fixture)
    settings = {"pretrained": str(fixture), "image_encoder.backend": backend}
    model = vsezoo.create_model("clip", settings=settings)
    images, texts = model.encode_images(pngs).clone(), model.encode_texts(captions).clone()
    embeds = expected["image_embeds_pil" if backend == "pil" else "image_embeds"]
    assert np.abs(images.numpy() - embeds).max() < 1e-5
    assert np.abs(texts.numpy() - expected["text_embeds"]).max() < 1e-5
    if backend == "torchvision":
        scores = model.similarity.compare(images, texts).detach().numpy()
        assert np.abs(scores - expected["logits_per_image"]).max() < 1e-4
    for trap in (name for name in expected if name.startswith("wrong")):
        assert np.abs(texts.numpy() - expected[trap]).max() > 0.1


@needs_fixtures
@pytest.mark.slow
def test_a_checkpoint_of_it_is_whole_without_the_folder(tmp_path: Path) -> None:
    shutil.copytree(FIXTURES / "dual_clip", tmp_path / "source")
    expected, captions, pngs = read_expected(FIXTURES / "dual_clip")
    made = vsezoo.convert(tmp_path / "source", tmp_path / "made")
    shutil.rmtree(tmp_path / "source")
    model = vsezoo.load(made.checkpoint)
    assert np.abs(model.encode_texts(captions).numpy() - expected["text_embeds"]).max() < 1e-5
    assert np.abs(model.encode_images(pngs).numpy() - expected["image_embeds"]).max() < 1e-5


# Converted, and back


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_written_as_transformers_reads_it(
    family: str, find: Callable[[str], Source], tmp_path: Path
) -> None:
    original, source, expected = find(family)
    made = vsezoo.convert(source, tmp_path / "made").checkpoint
    (tmp_path / "back").mkdir()
    vsezoo.export(made, "transformers", tmp_path / "back" / "model.safetensors")
    again = type(original).from_pretrained(tmp_path / "back", local_files_only=True).eval()
    held, tensors = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "back"))
    assert tensors.keys() == held.keys()  # with BLIP's classifier of matching pairs, which no embedding depends on
    assert all(tensors[name].equal(tensor) for name, tensor in held.items())
    found = dual_families.compute(family, again, tmp_path / "back", CAPTIONS, PICTURES, "torchvision")
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
