"""Our model with the weights of the original VSE++ code gives the embeddings, ranks and figures of that code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vsezoo.conversion.importer import Source
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.model import JointEmbedding
from vsezoo_vsepp.importer import VSEppImporter

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


@pytest.fixture(params=["model_best.pth.tar", "model_best_legacy.pth.tar"])
def checkpoint(folder: Path, request: pytest.FixtureRequest) -> Path:
    return folder / str(request.param)


@pytest.fixture
def model(checkpoint: Path) -> JointEmbedding:
    source = Source(checkpoint)
    return VSEppImporter().read(source, {}).build(source)


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


@pytest.mark.parametrize("ending", ["_vocab.pkl", "_vocab_py2.pkl", "_vocab.json"])
def test_every_form_of_the_vocabulary(folder: Path, inputs: dict[str, Any], ending: str) -> None:
    source = Source(folder / "model_best.pth.tar")
    tokenizer = VSEppImporter().read(source, {"vocab": folder / f"f8k_precomp{ending}"}).tokenizer
    captions = tokenizer.encode([str(caption) for caption in inputs["captions"]])
    assert [len(caption) for caption in captions] == inputs["lengths"].tolist()
    for ids, padded in zip(captions, inputs["token_ids"], strict=True):
        assert ids.tolist() == padded[: len(ids)].tolist()


def test_there_and_back_to_the_bit(checkpoint: Path, model: JointEmbedding, tmp_path: Path) -> None:
    written = Source(VSEppImporter().write(model, tmp_path / "x.pth.tar")[0])
    for old, new in zip(Source(checkpoint).content["model"], written.content["model"], strict=True):
        assert old.keys() == new.keys()
        assert all(tensor.equal(new[name]) for name, tensor in old.items())
