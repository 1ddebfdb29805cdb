"""Our model with the weights of the original SCAN code gives the sets, scores, losses and figures of that code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from originals import FIXTURES, TOLERANCE, needs_fixtures, read_arrays

from vsezoo.batch import Embeddings
from vsezoo.conversion.importer import Source
from vsezoo.conversion.recognition import find_importer
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.interfaces import Batch, Tokens
from vsezoo.losses import HingeLoss
from vsezoo.model import JointEmbedding
from vsezoo_scan.importer import SCANImporter
from vsezoo_scan.similarity import CrossAttentionSimilarity

pytestmark = needs_fixtures


@pytest.fixture(params=["scan_t2i", "scan_i2t"])
def folder(request: pytest.FixtureRequest) -> Path:
    return FIXTURES / str(request.param)


@pytest.fixture
def inputs(folder: Path) -> dict[str, Any]:
    return read_arrays(folder / "inputs.npz")


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    return read_arrays(folder / "expected.npz")


@pytest.fixture(params=["model_best.pth.tar", "model_best_legacy.pth.tar"])
def model(folder: Path, request: pytest.FixtureRequest) -> JointEmbedding:
    source = Source(folder / str(request.param))
    assert isinstance(find_importer(source)[1], SCANImporter)
    return SCANImporter().read(source, {}).build(source)


@pytest.mark.slow
def test_sets_and_scores(model: JointEmbedding, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    images = model.embed_images(inputs["images"])
    texts = model.embed_texts([str(caption) for caption in inputs["captions"]])
    np.testing.assert_allclose(images.regions, expected["img_embs"], **TOLERANCE)
    np.testing.assert_allclose(texts.items, expected["cap_embs"], **TOLERANCE)
    assert texts.counts.tolist() == expected["cap_lens"].tolist()
    scores = model.similarity.compare(images, texts)
    np.testing.assert_allclose(scores.detach(), expected["sims"], **TOLERANCE)


@pytest.mark.slow
def test_ranks_and_figures(model: JointEmbedding, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    """Equal captions are tied; the original's reversed sort puts the own one last."""
    images = model.embed_images(inputs["images"])
    texts = model.embed_texts([str(caption) for caption in inputs["captions"]])
    image_of = np.repeat(np.arange(len(images)), 5)
    scorer = lambda rows, columns: model.similarity.compare(images[rows], texts[columns])  # noqa: E731
    ranks = rank_pairs(scorer, image_of, len(images), ties="pessimistic")
    for direction in ("i2t", "t2i"):
        found = getattr(ranks, direction)
        assert found.tolist() == expected[f"{direction}_ranks"].tolist()
        figures = list(DirectionMetrics.from_ranks(found).to_json().values())
        assert figures == pytest.approx(expected[f"{direction}_metrics"].tolist(), abs=1e-9)


@pytest.mark.slow
def test_all_forty_variants(folder: Path, expected: dict[str, Any]) -> None:
    options = json.loads((folder / "opt.json").read_text())
    images, texts = _make_sets(expected, 10, slice(0, 60))
    variants = np.load(folder / "variants.npz")
    assert len(variants.files) == 40
    for name in variants.files:
        direction, norm, aggregation = name.split(".")
        similarity = CrossAttentionSimilarity(
            direction=direction,
            norm=norm,
            aggregation=aggregation,
            softmax_scale=options["lambda_softmax"],
            lse_scale=options["lambda_lse"],
        )
        np.testing.assert_allclose(similarity.eval()(images, texts), variants[name], err_msg=name, **TOLERANCE)


@pytest.mark.parametrize("hardest", [False, True])
def test_losses_and_gradients(folder: Path, expected: dict[str, Any], hardest: bool) -> None:
    options = json.loads((folder / "opt.json").read_text())
    similarity = CrossAttentionSimilarity(
        direction=options["cross_attn"],
        norm=options["raw_feature_norm"],
        aggregation=options["agg_func"],
        softmax_scale=options["lambda_softmax"],
        lse_scale=options["lambda_lse"],
    )
    images, texts = _make_sets(expected, 16, torch.from_numpy(expected["loss_rows"]))
    images.regions.requires_grad_()
    texts.regions.requires_grad_()
    index = torch.arange(16)
    batch = Batch(images.embeddings, Tokens(index[:, None], torch.ones(16, dtype=torch.int64)), index, index)
    loss = HingeLoss(margin=options["margin"], max_violation=hardest)
    output = loss(similarity(images, texts), images.embeddings, texts.embeddings, batch)
    output.total.backward()
    name = "loss_max" if hardest else "loss_sum"
    assert output.total.item() == pytest.approx(float(expected[name]), abs=1e-4)
    np.testing.assert_allclose(images.regions.grad, expected[f"{name}_grad_img"], **TOLERANCE)
    np.testing.assert_allclose(texts.regions.grad, expected[f"{name}_grad_cap"], **TOLERANCE)


@pytest.mark.slow
def test_the_ensemble_of_both_directions() -> None:
    members = [read_arrays(FIXTURES / name / "expected.npz") for name in ("scan_t2i", "scan_i2t")]
    together = np.load(FIXTURES / "scan_i2t" / "ensemble.npz")
    scores = []
    for name, expected in zip(("scan_t2i", "scan_i2t"), members, strict=True):
        source = Source(FIXTURES / name / "model_best.pth.tar")
        similarity = SCANImporter().read(source, {}).build(source).similarity
        with torch.no_grad():
            scores.append(similarity.compare(*_make_sets(expected, 40, slice(0, 200))).numpy())
    np.testing.assert_allclose(np.mean(scores, axis=0), together["sims"], **TOLERANCE)


@pytest.mark.slow
def test_five_steps_of_adam(folder: Path, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    """Hardest negatives, gradients clipped at an L2 norm of 2, as the original trains."""
    options = json.loads((folder / "opt.json").read_text())
    source = Source(folder / "init.pth.tar")
    model = SCANImporter().read(source, {}).build(source).train()
    captions = [str(caption) for caption in inputs["captions"]]
    tokens = model.tokenizer.encode(captions)
    optimizer = torch.optim.Adam(model.parameters(), options["learning_rate"])
    loss, losses = HingeLoss(margin=options["margin"], max_violation=True), []
    for padded in expected["step_rows"]:
        rows = padded[padded >= 0]
        features, chosen = torch.from_numpy(inputs["images"][rows // 5]), Tokens.pad([tokens[row] for row in rows])
        images, texts = model(features, chosen)
        index = torch.arange(len(rows))
        batch = Batch(features, chosen, index, index)
        output = loss(model.similarity.compare(images, texts), None, None, batch)
        losses.append(output.total.item())
        optimizer.zero_grad()
        output.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
    assert losses == pytest.approx(expected["step_losses"].tolist(), rel=1e-5)
    bias, row = model.image_encoder.fc.bias, model.text_encoder.embed.weight[4]  # type: ignore[union-attr, index]
    np.testing.assert_allclose(bias.detach(), expected["after_img_fc_bias"], **TOLERANCE)  # type: ignore[union-attr, operator]
    np.testing.assert_allclose(row.detach(), expected["after_embed_row4"], **TOLERANCE)


@pytest.mark.slow
def test_there_and_back_to_the_bit(folder: Path, model: JointEmbedding, tmp_path: Path) -> None:
    written = Source(SCANImporter().write(model, tmp_path / "x.pth.tar", "f30k_precomp")[0])
    old = Source(folder / "model_best.pth.tar").content
    for ours, theirs in zip(written.content["model"], old["model"], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(tensor.equal(theirs[name]) for name, tensor in ours.items())
    again = SCANImporter().read(written, {}).recipe
    assert again.similarity == model.recipe.similarity
    assert again.image_encoder.options["normalize_items"] == model.recipe.image_encoder.options["normalize_items"]


def _make_sets(expected: dict[str, Any], images: int, captions: slice | torch.Tensor) -> tuple[Embeddings, Embeddings]:
    regions = torch.from_numpy(expected["img_embs"][:images]).clone()
    words = torch.from_numpy(expected["cap_embs"])[captions].clone()
    lengths = torch.from_numpy(expected["cap_lens"])[captions]
    return Embeddings(regions.mean(1), regions), Embeddings(words.mean(1), words, lengths)
