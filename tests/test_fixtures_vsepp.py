"""Our model with the weights of the original VSE++ code gives the embeddings, ranks and figures of that code."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.model import JointEmbedding, build_model, resolve_recipe
from vsezoo.recipe import Part, Recipe
from vsezoo.text import Vocabulary, WordTokenizer

FIXTURES = Path(os.environ.get("VSEZOO_SHARED", "/nowhere")) / "fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="VSEZOO_SHARED has no fixtures")

TOLERANCE = {"rtol": 0, "atol": 1e-5}


@pytest.fixture(params=["vsepp", "vsepp_order"])
def folder(request: pytest.FixtureRequest) -> Path:
    return FIXTURES / str(request.param)


@pytest.fixture
def inputs(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return dict(np.load(folder / "inputs.npz"))


@pytest.fixture
def expected(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return dict(np.load(folder / "expected.npz"))


@pytest.fixture
def model(folder: Path) -> JointEmbedding:
    options = json.loads((folder / "opt.json").read_text())
    ids = json.loads((folder / "f8k_precomp_vocab.json").read_text())["word2idx"]
    tokenizer = WordTokenizer(4, Vocabulary(sorted(ids, key=ids.__getitem__)))
    recipe = Recipe(
        "fixture",
        "",
        Part(
            "precomp",
            {
                "img_dim": options["img_dim"],
                "normalize": not options["no_imgnorm"],
                "use_abs": options["use_abs"],
            },
        ),
        Part(
            "gru",
            {"word_dim": options["word_dim"], "num_layers": options["num_layers"], "use_abs": options["use_abs"]},
        ),
        Part(options["measure"]),
        Part("hinge"),
        options["embed_size"],
    )
    model = build_model(resolve_recipe(recipe), tokenizer)
    with torch.serialization.safe_globals([argparse.Namespace]):
        image_encoder, text_encoder = torch.load(folder / "model_best.pth.tar", weights_only=True)["model"]
    tensors = {f"image_encoder.{name}": tensor for name, tensor in image_encoder.items()}
    tensors |= {f"text_encoder.{name}": tensor for name, tensor in text_encoder.items()}
    model.load_state_dict(tensors)
    return model.eval()


def test_token_ids_of_raw_captions(model: JointEmbedding, inputs: dict[str, Any]) -> None:
    captions = model.tokenizer.encode([str(caption) for caption in inputs["captions"]])
    assert [len(caption) for caption in captions] == inputs["lengths"].tolist()
    for ids, padded in zip(captions, inputs["token_ids"], strict=True):
        assert ids.tolist() == padded[: len(ids)].tolist()


def test_embeddings_and_similarities(model: JointEmbedding, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    images = model.encode_images(inputs["images"])
    texts = model.encode_texts([str(caption) for caption in inputs["captions"]])
    np.testing.assert_allclose(images, expected["img_embs"][::5], **TOLERANCE)
    np.testing.assert_allclose(texts, expected["cap_embs"], **TOLERANCE)
    np.testing.assert_allclose(model.similarity(images, texts), expected["sims"], **TOLERANCE)


def test_ranks_and_figures(model: JointEmbedding, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    images = model.encode_images(inputs["images"])
    texts = model.encode_texts([str(caption) for caption in inputs["captions"]])
    image_of = np.repeat(np.arange(len(images)), 5)
    ranks = rank_pairs(lambda rows, columns: model.similarity(images[rows], texts[columns]), image_of, len(images))
    for direction in ("i2t", "t2i"):
        found = getattr(ranks, direction)
        assert found.tolist() == expected[f"{direction}_ranks"].tolist()
        figures = list(DirectionMetrics.from_ranks(found).to_json().values())
        assert figures == pytest.approx(expected[f"{direction}_metrics"].tolist(), abs=1e-9)
