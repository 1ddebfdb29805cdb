"""Our model with the weights of the original VSRN code gives the embeddings, ranks and figures of that code."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vsezoo import registry
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.model import JointEmbedding, build_model, resolve_recipe
from vsezoo.text import Vocabulary, WordTokenizer

FIXTURES = Path(os.environ.get("VSEZOO_SHARED", "/nowhere")) / "fixtures"
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason="VSEZOO_SHARED has no fixtures")

TOLERANCE = {"rtol": 0, "atol": 1e-5}


def rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the original's image encoder under our names: blocks from 0, and matrices for convolutions of width 1."""
    renamed = {}
    for name, tensor in tensors.items():
        if name.startswith("Rs_GCN_"):
            number, _, rest = name.removeprefix("Rs_GCN_").partition(".")
            name = f"blocks.{int(number) - 1}.{rest}"
        renamed[name] = tensor.squeeze(-1) if tensor.dim() == 3 else tensor
    return renamed


@pytest.fixture(params=["VSRN_coco", "VSRN_f30k"])
def folder(request: pytest.FixtureRequest) -> Path:
    return FIXTURES / str(request.param)


@pytest.fixture
def inputs(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return dict(np.load(folder / "inputs.npz"))


@pytest.fixture
def expected(folder: Path) -> dict[str, np.ndarray[Any, Any]]:
    return dict(np.load(folder / "expected.npz"))


@pytest.fixture(params=["model_best.pth.tar", "model_best_legacy.pth.tar"])
def model(folder: Path, request: pytest.FixtureRequest) -> JointEmbedding:
    """The recipe as its overrides for the data set make it: nothing of the architecture is set by hand here."""
    with torch.serialization.safe_globals([argparse.Namespace]):
        checkpoint = torch.load(folder / str(request.param), weights_only=True)
    options = vars(checkpoint["opt"])
    ids = json.loads((folder / f"{options['data_name']}_vocab.json").read_text())["word2idx"]
    tokenizer = WordTokenizer(4, Vocabulary(sorted(ids, key=ids.__getitem__)))
    recipe = registry.load("models", "vsrn").for_data(options["data_name"])
    recipe = recipe.replace(
        {
            "image_encoder.img_dim": options["img_dim"],
            "text_encoder.word_dim": options["word_dim"],
            "embed_size": options["embed_size"],
        }
    )
    model = build_model(resolve_recipe(recipe), tokenizer)
    image_encoder, text_encoder = checkpoint["model"]
    model.image_encoder.load_state_dict(rename(image_encoder))
    model.text_encoder.load_state_dict(text_encoder)
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
