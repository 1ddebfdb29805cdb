"""Our model with the weights of the original CHAN code gives its sets, scores, losses and figures."""

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
from vsezoo_chan.importer import CHANImporter
from vsezoo_chan.similarity import HardAlignmentSimilarity

pytestmark = needs_fixtures
FOLDER = FIXTURES / "chan"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return read_arrays(FOLDER / "expected.npz")


def read_model() -> JointEmbedding:
    source = Source(FOLDER / "model_best.pth")
    assert isinstance(find_importer(source)[1], CHANImporter)
    return CHANImporter().read(source, {}).build(source).eval()


@pytest.mark.slow
def test_sets_scores_and_figures(expected: dict[str, Any]) -> None:
    inputs, model = np.load(FOLDER / "inputs.npz"), read_model()
    images = model.embed_images(inputs["images"])
    texts = model.embed_texts([str(caption) for caption in inputs["captions"]])
    np.testing.assert_allclose(images.regions, expected["img_embs"], **TOLERANCE)
    np.testing.assert_allclose(texts.items, expected["cap_embs"], **TOLERANCE)
    assert texts.counts.tolist() == expected["cap_lens"].tolist()
    scores = model.similarity.compare(images, texts)
    np.testing.assert_allclose(scores, expected["sims"], **TOLERANCE)
    image_of = np.repeat(np.arange(len(images)), 5)
    ranks = rank_pairs(lambda rows, columns: scores[rows][:, columns], image_of, len(images), ties="pessimistic")
    assert ranks.t2i.tolist() == expected["t2i_ranks"].tolist()
    figures = list(DirectionMetrics.from_ranks(ranks.t2i).to_json().values())
    assert figures == pytest.approx(expected["t2i_metrics"].tolist(), abs=1e-9)
    # Equal captions are tied, and the original's sort leaves them in no order.
    best = scores.view(len(images), len(images), 5).diagonal().T.amax(dim=1)
    assert ((scores > best[:, None]).sum(dim=1).numpy() <= expected["i2t_ranks"]).all()
    assert (expected["i2t_ranks"] <= ranks.i2t).all()


@pytest.mark.parametrize("hardest", [False, True])
def test_losses(expected: dict[str, Any], hardest: bool) -> None:
    options = json.loads((FOLDER / "opt.json").read_text())
    images, texts = _make_sets(expected, 16, torch.from_numpy(expected["loss_rows"]))
    index = torch.arange(16)
    batch = Batch(images.embeddings, Tokens(index[:, None], torch.ones(16, dtype=torch.int64)), index, index)
    loss = HingeLoss(margin=options["margin"], max_violation=hardest)
    similarity = HardAlignmentSimilarity(coding_scale=options["alpha"], pooling_scale=options["belta"])
    output = loss(similarity(images, texts), None, None, batch)
    # Of scores that are ten times cosines.
    assert output.total.item() == pytest.approx(float(expected["loss_max" if hardest else "loss_sum"]), rel=1e-5)


def test_all_fifteen_variants(expected: dict[str, Any]) -> None:
    """The original's softmax is NaN for all but the longest sets of a block; ours is compared where it is not."""
    variants = np.load(FOLDER / "variants.npz")
    images, texts = _make_sets(expected, 10, slice(0, 60))
    images = Embeddings(images.embeddings, images.items, torch.from_numpy(variants["image_lengths"]))
    names = [name for name in variants.files if name != "image_lengths"]
    assert len(names) == 15
    for name in names:
        coding, pooling = (word.removesuffix("Coding").removesuffix("Pooling") for word in name.split("."))
        scores = HardAlignmentSimilarity(coding=coding, pooling=pooling).eval()(images, texts)
        assert scores.isfinite().all()
        finite = np.isfinite(variants[name])
        assert finite.any()
        np.testing.assert_allclose(scores.numpy()[finite], variants[name][finite], err_msg=name, **TOLERANCE)


@pytest.mark.slow
def test_there_and_back(tmp_path: Path) -> None:
    model = read_model()
    written = Source(CHANImporter().write(model, tmp_path / "x.pth", "f30k_precomp")[0])
    old = Source(FOLDER / "model_best.pth").content
    for ours, theirs in zip(written.content["model"], old["model"], strict=True):
        assert ours.keys() == theirs.keys()
        # The linear layer of the text encoder takes no part, and is not kept.
        words = "embed.weight" in ours
        assert all(tensor.equal(theirs[name]) for name, tensor in ours.items() if not (words and name[:3] == "fc."))
    again = CHANImporter().read(written, {}).recipe
    for part in ("image_encoder", "text_encoder", "similarity", "loss"):
        assert getattr(again, part) == getattr(model.recipe, part)


def _make_sets(expected: dict[str, Any], images: int, captions: slice | torch.Tensor) -> tuple[Embeddings, Embeddings]:
    regions = torch.from_numpy(expected["img_embs"][:images])
    words = torch.from_numpy(expected["cap_embs"])[captions]
    return Embeddings(regions.mean(1), regions), Embeddings(
        words.mean(1), words, torch.from_numpy(expected["cap_lens"])[captions]
    )
