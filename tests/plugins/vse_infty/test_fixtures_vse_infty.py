"""Our model with the weights of the original VSE∞ code gives the embeddings, losses, steps and figures of that code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from originals import FIXTURES, TOLERANCE, needs_fixtures, read_arrays
from torch import Tensor

from vsezoo.conversion.importer import Source
from vsezoo.conversion.recognition import find_importer
from vsezoo.errors import CheckpointError
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.interfaces import Batch, Tokens
from vsezoo.losses import HingeLoss
from vsezoo.model import JointEmbedding
from vsezoo_vse_infty.image_encoder import VSEInftyImageEncoder
from vsezoo_vse_infty.importer import VSEInftyImporter
from vsezoo_vse_infty.text_encoders import VSEInftyTextEncoder

pytestmark = needs_fixtures
FOLDER = FIXTURES / "vse_infty_bigru"


def read(file: str = "model_best.pth") -> JointEmbedding:
    source = Source(FOLDER / file)
    assert isinstance(find_importer(source)[1], VSEInftyImporter)
    return VSEInftyImporter().read(source, {}).build(source)


@pytest.fixture
def model() -> JointEmbedding:
    return read()


@pytest.fixture
def inputs() -> dict[str, Any]:
    return read_arrays(FOLDER / "inputs.npz")


@pytest.fixture
def expected() -> dict[str, Any]:
    return read_arrays(FOLDER / "expected.npz")


def get_encoders(model: JointEmbedding) -> tuple[VSEInftyImageEncoder, VSEInftyTextEncoder]:
    assert isinstance(model.image_encoder, VSEInftyImageEncoder)
    assert isinstance(model.text_encoder, VSEInftyTextEncoder)
    return model.image_encoder, model.text_encoder


@pytest.mark.slow
def test_embeddings_scores_and_figures(model: JointEmbedding, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    images = model.encode_images(inputs["images"])
    captions = [str(caption) for caption in inputs["captions"]]
    found = model.tokenizer.encode(captions)
    for ids, padded, length in zip(found, inputs["token_ids"], inputs["lengths"], strict=True):
        assert ids.tolist() == padded[:length].tolist()
    texts = model.encode_texts(captions)
    np.testing.assert_allclose(images, expected["img_embs"], **TOLERANCE)
    np.testing.assert_allclose(texts, expected["cap_embs"], **TOLERANCE)
    np.testing.assert_allclose(model.similarity.compare(images, texts), expected["sims"], **TOLERANCE)
    scorer = lambda rows, columns: model.similarity.compare(images[rows], texts[columns])  # noqa: E731
    image_of = np.repeat(np.arange(len(images)), 5)
    # Equal captions are tied, and the original's sort puts them in any order.
    ranks = rank_pairs(scorer, image_of, len(images), ties="pessimistic")
    for direction in ("i2t", "t2i"):
        worst, theirs = getattr(ranks, direction), expected[f"{direction}_ranks"]
        assert (np.where(getattr(ranks, f"{direction}_tied"), theirs, worst) <= theirs).all()
        assert (theirs <= worst).all()
        figures = list(DirectionMetrics.from_ranks(worst).to_json().values())
        assert figures[:4] == pytest.approx(expected[f"{direction}_metrics"][:4].tolist(), abs=1e-9)
        assert figures[4] == pytest.approx(expected[f"{direction}_metrics"][4], abs=0.2)


@pytest.mark.slow
def test_weights_of_the_pooling_by_size(model: JointEmbedding, expected: dict[str, Any]) -> None:
    for encoder, name in zip(get_encoders(model), ("img", "txt"), strict=True):
        weights = expected[f"{name}_pool_weights"]
        found = encoder.pooling.weigh(torch.arange(1, len(weights) + 1))  # type: ignore[union-attr, operator]
        np.testing.assert_allclose(found.detach(), weights, **TOLERANCE)


@pytest.mark.slow
def test_short_sets_in_one_batch(model: JointEmbedding, inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    encoder, _ = get_encoders(model)
    lengths = torch.from_numpy(expected["short_region_lengths"])
    images = cut_regions(inputs["images"][:8], lengths)
    with torch.no_grad():
        output = encoder.embed(images, lengths)
        np.testing.assert_allclose(output.embeddings, expected["short_img_embs"], **TOLERANCE)
        size = int(lengths[0])
        before = expected["short_features_before_pool_0"][:size]
        np.testing.assert_allclose(output.regions[0, :size], before, **TOLERANCE)
        encoder.train()
        trained = encoder.embed(images, lengths)
    np.testing.assert_allclose(trained.embeddings, expected["short_img_embs_train_mode"], **TOLERANCE)
    assert encoder.mlp is not None
    for name in ("running_mean", "running_var"):
        found = encoder.mlp.bns[0].get_buffer(name)
        np.testing.assert_allclose(found, expected[f"after_train_mode_{name}"], **TOLERANCE)


@pytest.mark.parametrize("hardest", [False, True])
@pytest.mark.slow
def test_losses(model: JointEmbedding, inputs: dict[str, Any], expected: dict[str, Any], hardest: bool) -> None:
    rows = expected["loss_rows"]
    images = model.encode_images(inputs["images"][:16])
    texts = model.encode_tokens([inputs["token_ids"][row][: inputs["lengths"][row]] for row in rows])
    loss = HingeLoss(margin=0.2, max_violation=hardest)
    total = loss(model.similarity.compare(images, texts), images, texts, make_batch(len(rows))).total
    assert total.item() == pytest.approx(float(expected["loss_max" if hardest else "loss_sum"]), abs=1e-4)


@pytest.mark.slow
def test_five_steps(inputs: dict[str, Any], expected: dict[str, Any]) -> None:
    model = read("init.pth")
    image_encoder, text_encoder = get_encoders(model.train())
    text_encoder.size_augmentation = 0.0
    options = json.loads((FOLDER / "opt.json").read_text())
    optimizer = torch.optim.AdamW(model.parameters(), options["learning_rate"])
    for step, rows in enumerate(expected["step_rows"]):
        lengths = torch.from_numpy(expected["step_region_lengths"][step])
        images = image_encoder.embed(cut_regions(inputs["images"][rows // 5], lengths), lengths).embeddings
        captions = Tokens.pad([inputs["token_ids"][row][: inputs["lengths"][row]] for row in rows])
        texts = text_encoder(captions)
        assert isinstance(texts, Tensor)
        loss = HingeLoss(margin=options["margin"], max_violation=bool(expected["step_max_violation"][step]))
        total = loss(model.similarity.compare(images, texts), images, texts, make_batch(len(rows))).total
        assert total.item() == pytest.approx(float(expected["step_losses"][step]), abs=1e-5 * total.item())
        optimizer.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
    state = model.state_dict()
    for name, ours in (
        ("img_fc_bias", "image_encoder.fc.bias"),
        ("img_bn_running_var", "image_encoder.mlp.bns.0.running_var"),
        ("txt_gpool_linear", "text_encoder.pooling.linear.weight"),
        ("img_gpool_linear", "image_encoder.pooling.linear.weight"),
    ):
        np.testing.assert_allclose(state[ours], expected[f"after_{name}"], **TOLERANCE)


@pytest.mark.slow
def test_there_and_back_to_the_bit(model: JointEmbedding, tmp_path: Path) -> None:
    written = VSEInftyImporter().write(model, tmp_path / "x.pth", "f30k_precomp")
    vocabulary = json.loads((tmp_path / "f30k_precomp_vocab.json").read_text())
    assert vocabulary["word2idx"] == json.loads((FOLDER / "f30k_precomp_vocab.json").read_text())["word2idx"]
    source, old = Source(written[0]), Source(FOLDER / "model_best.pth").content
    for ours, theirs in zip(source.content["model"], old["model"], strict=True):
        assert ours.keys() == theirs.keys()
        assert all(tensor.equal(theirs[name]) for name, tensor in ours.items())
    assert VSEInftyImporter().read(source, {}).recipe == model.recipe


def test_a_vocabulary_of_another_size(tmp_path: Path) -> None:
    """One word short next to the mask: the last word is left out of the file."""
    value = json.loads((FOLDER / "f30k_precomp_vocab.json").read_text())
    last = value["idx2word"].pop(str(len(value["word2idx"]) - 1))
    del value["word2idx"][last]
    value["idx"] -= 1
    file = tmp_path / "short.json"
    file.write_text(json.dumps(value))
    with pytest.raises(CheckpointError, match="77"):
        VSEInftyImporter().read(Source(FOLDER / "model_best.pth"), {"vocab": str(file)})


def cut_regions(images: np.ndarray[Any, Any], lengths: Tensor) -> Tensor:
    """Return the first regions of each image, padded with zeros to the longest."""
    cut = torch.from_numpy(images)[:, : int(lengths.max())]
    present = torch.arange(cut.shape[1]) < lengths[:, None]
    return cut * present[:, :, None]


def make_batch(size: int) -> Batch:
    index = torch.arange(size)
    return Batch(torch.zeros(size, 1), Tokens(index[:, None], torch.ones(size, dtype=torch.int64)), index, index)
