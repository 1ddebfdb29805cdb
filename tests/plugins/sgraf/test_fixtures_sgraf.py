"""Our model with the weights of the original SGRAF code gives its sets, nodes, scores, losses and figures."""

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
from vsezoo.similarities.pairwise import take_sets
from vsezoo_sgraf.importer import SGRAFImporter
from vsezoo_sgraf.similarity import SAFSimilarity

pytestmark = needs_fixtures
NAMES = ("sgraf_sgr", "sgraf_saf")


@pytest.fixture(params=NAMES)
def folder(request: pytest.FixtureRequest) -> Path:
    return FIXTURES / str(request.param)


@pytest.fixture
def inputs(folder: Path) -> dict[str, Any]:
    return read_arrays(folder / "inputs.npz")


@pytest.fixture
def expected(folder: Path) -> dict[str, Any]:
    return read_arrays(folder / "expected.npz")


def read_model(folder: Path, name: str = "model_best.pth.tar") -> JointEmbedding:
    source = Source(folder / name)
    assert isinstance(find_importer(source)[1], SGRAFImporter)
    return SGRAFImporter().read(source, {}).build(source).eval()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model_best.pth.tar", "model_best_legacy.pth.tar"])
def test_sets_nodes_and_scores(folder: Path, name: str, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    model = read_model(folder, name)
    images = model.embed_images(inputs["images"])
    texts = model.embed_texts([str(caption) for caption in inputs["captions"]])
    np.testing.assert_allclose(images.regions, expected["img_embs"], **TOLERANCE)
    np.testing.assert_allclose(texts.items, expected["cap_embs"], **TOLERANCE)
    np.testing.assert_allclose(images.embeddings, expected["img_global"], **TOLERANCE)
    np.testing.assert_allclose(texts.embeddings, expected["cap_global"], **TOLERANCE)
    assert texts.counts.tolist() == expected["cap_lens"].tolist()
    alignments = model.similarity.align(images[:1], take_sets(texts, torch.tensor([7]), 10), paired=False)  # type: ignore[operator]
    np.testing.assert_allclose(alignments[0, 0].detach(), expected["pair_0_7_alignments"], **TOLERANCE)
    scores = model.similarity.compare(images, texts).detach()
    np.testing.assert_allclose(scores, expected["sims"], **TOLERANCE)
    image_of = np.repeat(np.arange(len(images)), 5)
    # Equal captions are tied, and the original's sort leaves them in no order.
    ranks = rank_pairs(lambda rows, columns: scores[rows][:, columns], image_of, len(images), ties="pessimistic")
    assert ranks.t2i.tolist() == expected["t2i_ranks"].tolist()
    for direction in ("i2t", "t2i"):
        figures = list(DirectionMetrics.from_ranks(getattr(ranks, direction)).to_json().values())
        assert figures[:3] == pytest.approx(expected[f"{direction}_metrics"][:3].tolist(), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("hardest", [False, True])
def test_losses_and_gradients(folder: Path, expected: dict[str, Any], hardest: bool) -> None:
    """Those of the original go through the global nodes, too."""
    model = read_model(folder)
    regions, words, lengths = _take(expected)
    regions.requires_grad_()
    words.requires_grad_()
    images, texts = _add_nodes(model, regions, words, lengths)
    index = torch.arange(16)
    batch = Batch(images.embeddings, Tokens(index[:, None], torch.ones(16, dtype=torch.int64)), index, index)
    options = json.loads((folder / "opt.json").read_text())
    loss = HingeLoss(margin=options["margin"], max_violation=hardest)
    output = loss(model.similarity(images, texts), images.embeddings, texts.embeddings, batch)
    output.total.backward()
    name = "loss_max" if hardest else "loss_sum"
    assert output.total.item() == pytest.approx(float(expected[name]), rel=1e-6, abs=1e-5)  # 87: floats lie 8e-6 apart
    for found, side in ((regions.grad, "img"), (words.grad, "cap")):
        gradient = expected[f"{name}_grad_{side}"]  # of numbers as large as 10
        np.testing.assert_allclose(found, gradient, rtol=0, atol=1e-5 * max(1, np.abs(gradient).max()))


@pytest.mark.slow
def test_scores_and_statistics_of_training(folder: Path, expected: dict[str, Any]) -> None:
    """With batch norm over the batch; the running statistics follow the captions in the order that the fixture has."""
    model = read_model(folder).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if isinstance(model.similarity, SAFSimilarity):
        model.similarity.statistics_order = "batch"
    images, texts = _add_nodes(model, *_take(expected))
    np.testing.assert_allclose(model.similarity(images, texts).detach(), expected["train_mode_sims"], **TOLERANCE)
    state = model.state_dict()
    ours = {
        "v_global_w.embedding_local.1": "image_encoder.node.local_norm",
        "v_global_w.embedding_global.1": "image_encoder.node.whole_norm",
        "SAF_module.bn": "similarity.norm",
    }
    followed = [name for name in expected if name.startswith("after_train_mode.")]
    assert len(followed) == (9 if folder.name == "sgraf_saf" else 6)
    for name in followed:
        theirs, _, kind = name.removeprefix("after_train_mode.").rpartition(".")
        np.testing.assert_allclose(state[f"{ours[theirs]}.{kind}"], expected[name], err_msg=name, **TOLERANCE)


@pytest.mark.slow
def test_the_ensemble_of_both() -> None:
    together = np.load(FIXTURES / "sgraf_saf" / "ensemble.npz")
    inputs = np.load(FIXTURES / "sgraf_saf" / "inputs.npz")
    scores = []
    for name in NAMES:
        model = read_model(FIXTURES / name)
        images = model.embed_images(inputs["images"])
        texts = model.embed_texts([str(caption) for caption in inputs["captions"]])
        scores.append(model.similarity.compare(images, texts).detach().numpy())
    np.testing.assert_allclose(np.mean(scores, axis=0), together["sims"], **TOLERANCE)


@pytest.mark.slow
def test_there_and_back_to_the_bit(folder: Path, tmp_path: Path) -> None:
    model = read_model(folder)
    written = Source(SGRAFImporter().write(model, tmp_path / "x.pth.tar", "f30k_precomp")[0])
    old = Source(folder / "model_best.pth.tar").content
    for ours, theirs in zip(written.content["model"], old["model"], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(tensor.equal(theirs[name]) for name, tensor in ours.items())
    again = SGRAFImporter().read(written, {}).recipe
    for part in ("image_encoder", "text_encoder", "similarity"):
        assert getattr(again, part) == getattr(model.recipe, part)


def _take(expected: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rows = torch.from_numpy(expected["loss_rows"])
    words, lengths = torch.from_numpy(expected["cap_embs"])[rows], torch.from_numpy(expected["cap_lens"])[rows]
    return torch.from_numpy(expected["img_embs"][:16]).clone(), words.clone(), lengths


def _add_nodes(
    model: JointEmbedding, regions: torch.Tensor, words: torch.Tensor, lengths: torch.Tensor
) -> tuple[Embeddings, Embeddings]:
    mask = torch.arange(words.shape[1]) < lengths[:, None]
    of_image, of_text = model.image_encoder.node(regions), model.text_encoder.node(words, mask)  # type: ignore[operator]
    return Embeddings(of_image, regions), Embeddings(of_text, words, lengths)
