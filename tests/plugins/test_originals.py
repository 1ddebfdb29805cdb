"""Our models with the weights of the original codes give the embeddings, ranks and figures of those codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from originals import IMAGES, THEANO, TOLERANCE, TORCH, Original, assert_ids, needs_fixtures

from vsezoo import registry
from vsezoo.conversion.importer import Source
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.model import JointEmbedding

pytestmark = needs_fixtures


@pytest.fixture(params=[*TORCH, *THEANO], scope="module")
def original(request: pytest.FixtureRequest) -> Original:
    return (TORCH | THEANO)[request.param]


@pytest.fixture(scope="module")
def model(original: Original, tmp_path_factory: pytest.TempPathFactory) -> JointEmbedding:
    return original.read(tmp_path_factory.mktemp("original"))


@pytest.mark.slow
def test_token_ids_of_raw_captions(model: JointEmbedding, original: Original) -> None:
    assert_ids(model.tokenizer.encode(original.captions), original)


def test_embeddings_and_similarities(model: JointEmbedding, original: Original) -> None:
    images, texts = original.embed(model)
    expected = original.expected
    for suffix in ("", *(["64"] if "img_embs64" in expected else [])):
        wanted = expected[f"img_embs{suffix}"]
        np.testing.assert_allclose(images, wanted[:: len(wanted) // IMAGES], **TOLERANCE)
        np.testing.assert_allclose(texts, expected[f"cap_embs{suffix}"], **TOLERANCE)
    scores = expected["sims"] if "sims" in expected else -expected["errors"].T  # an error, where we give a score
    np.testing.assert_allclose(model.similarity(images, texts), scores, **TOLERANCE)


def test_ranks_and_figures(model: JointEmbedding, original: Original) -> None:
    images, texts = original.embed(model)
    image_of = np.repeat(np.arange(IMAGES), 5)
    ranks = rank_pairs(lambda rows, columns: model.similarity(images[rows], texts[columns]), image_of, IMAGES)
    for direction in ("i2t", "t2i"):
        found = getattr(ranks, direction)
        if f"{direction}_ranks" in original.expected:
            assert found.tolist() == original.expected[f"{direction}_ranks"].tolist()
        figures = list(DirectionMetrics.from_ranks(found).to_json().values())
        wanted = original.expected[f"{direction}_metrics"].tolist()
        assert len(wanted) >= 4  # Kiros' codes know no MeanR
        assert figures[: len(wanted)] == pytest.approx(wanted, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["_vocab.pkl", "_vocab_py2.pkl", "_vocab.json"])
@pytest.mark.parametrize("name", [name for name in TORCH if not name.endswith("_legacy")])
def test_every_form_of_the_vocabulary(name: str, ending: str) -> None:
    original = TORCH[name]
    (vocab,) = original.folder.glob(f"*precomp{ending}")
    source = Source(original.folder / original.file)
    tokenizer = registry.load("importers", original.form)().read(source, {"vocab": vocab}).tokenizer
    assert_ids(tokenizer.encode(original.captions), original)


@pytest.mark.slow
@pytest.mark.parametrize("name", TORCH)
def test_there_and_back_to_the_bit(name: str, tmp_path: Path) -> None:
    original = TORCH[name]
    importer = registry.load("importers", original.form)()
    written = Source(importer.write(original.read(tmp_path), tmp_path / "x.pth.tar")[0])
    for old, new in zip(original.open(tmp_path).content["model"], written.content["model"], strict=True):
        assert old.keys() == new.keys()
        assert all(tensor.equal(new[name]) for name, tensor in old.items())
