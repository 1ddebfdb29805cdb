"""Our models with the weights of Kiros' code, linxd5's and that of order-embeddings give what those codes gave.

The first two repeat each image five times, and know no MeanR; the last gives an error where we give a score.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from theano_files import draw_theano, run_gru
from torch import Tensor, nn
from torch.nn import functional

from vsezoo import registry
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.conversion.importer import Source
from vsezoo.conversion.theano import make_gru
from vsezoo.data.lookup import open_data
from vsezoo.encoders.recurrence import run_recurrence
from vsezoo.evaluation.evaluate import evaluate
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding

FIXTURES = Path(os.environ.get("VSEZOO_SHARED", "/nowhere")) / "fixtures"
needs_fixtures = pytest.mark.skipif(not FIXTURES.is_dir(), reason="VSEZOO_SHARED has no fixtures")

TOLERANCE = {"rtol": 0, "atol": 1e-5}
Arrays = dict[str, np.ndarray[Any, Any]]

WEIGHTS = {
    "kiros": ("kiros", "model.npz"),
    "linxd5": ("linxd5", "f8k_model_lstm.pkl"),
    "order_embedding_order": ("order-embedding", "order.npz"),
}
"""The format of each fixture, and its file."""


@torch.no_grad()
@pytest.mark.parametrize(("word_dim", "width"), [(5, 7), (6, 6)])
def test_a_gru_of_theano_is_one_of_torch(word_dim: int, width: int) -> None:
    theano = draw_theano({"n_words": 2, "dim_word": word_dim, "dim": width, "dim_image": 1})
    gru = nn.GRU(word_dim, width, batch_first=True)
    gru.load_state_dict(make_gru({name: torch.from_numpy(array) for name, array in theano.items()}))
    lengths = torch.tensor([4, 1, 6])
    words = np.random.default_rng(1).normal(size=(6, 3, word_dim)).astype(np.float32)
    mask = (np.arange(6)[:, None] < lengths.numpy()).astype(np.float32)
    expected = run_gru(theano, words, mask)
    inputs = torch.from_numpy(words).transpose(0, 1)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    np.testing.assert_allclose(gru(packed)[1][0], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(run_recurrence(gru, packed)[1][0], expected, rtol=0, atol=1e-6)
    # A batch of one length, as the originals make them, is a batch with a mask.
    for row, length in enumerate(lengths):
        alone = run_gru(theano, words[:length, [row]], np.ones((length, 1), np.float32))
        np.testing.assert_allclose(alone[0], expected[row], rtol=0, atol=1e-6)


# The fixtures


def read_original(name: str, folder: Path) -> JointEmbedding:
    """Return the model of a fixture, of which ` p0` names the pickles of protocol 0."""
    name, _, protocol = name.partition(" ")
    form, file = WEIGHTS[name]
    for path in (FIXTURES / name).iterdir():
        if not protocol or f".{protocol}.pkl" in path.name or not path.name.endswith(".pkl"):
            (folder / path.name.replace(f".{protocol}.pkl", ".pkl")).write_bytes(path.read_bytes())
    source, importer = Source(folder / file), registry.load("importers", form)()
    assert importer.recognise(source)
    return importer.read(source, {}).build(source)  # type: ignore[no-any-return]


@pytest.fixture(
    params=["kiros", "kiros p0", "linxd5", "order_embedding_order", "order_embedding_order p0"], scope="module"
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str, tmp_path_factory: pytest.TempPathFactory) -> JointEmbedding:
    return read_original(name, tmp_path_factory.mktemp("original"))


@pytest.fixture(scope="module")
def inputs(name: str) -> Arrays:
    return dict(np.load(FIXTURES / name.split()[0] / "inputs.npz"))


@pytest.fixture(scope="module")
def expected(name: str) -> Arrays:
    return dict(np.load(FIXTURES / name.split()[0] / "expected.npz"))


def embed(model: JointEmbedding, inputs: Arrays) -> tuple[Tensor, Tensor]:
    """Return the embeddings of the 40 images and of the 200 captions."""
    images = inputs["images"][:: len(inputs["images"]) // 40]
    return model.encode_images(images), model.encode_texts([str(caption) for caption in inputs["captions"]])


@needs_fixtures
def test_token_ids_of_raw_captions(model: JointEmbedding, inputs: Arrays) -> None:
    captions = model.tokenizer.encode([str(caption) for caption in inputs["captions"]])
    assert [len(caption) for caption in captions] == inputs["lengths"].tolist()
    for ids, padded in zip(captions, inputs["token_ids"], strict=True):
        assert ids.tolist() == padded[: len(ids)].tolist()


@needs_fixtures
def test_embeddings_and_similarities(model: JointEmbedding, inputs: Arrays, expected: Arrays) -> None:
    images, texts = embed(model, inputs)
    scores = model.similarity(images, texts)
    for suffix in ("", *(["64"] if "img_embs64" in expected else [])):
        wanted = expected[f"img_embs{suffix}"]
        np.testing.assert_allclose(images, wanted[:: len(wanted) // 40], **TOLERANCE)
        np.testing.assert_allclose(texts, expected[f"cap_embs{suffix}"], **TOLERANCE)
    np.testing.assert_allclose(scores, expected["sims"] if "sims" in expected else -expected["errors"].T, **TOLERANCE)


@needs_fixtures
def test_figures(model: JointEmbedding, inputs: Arrays, expected: Arrays) -> None:
    images, texts = embed(model, inputs)
    image_of = np.repeat(np.arange(40), 5)
    ranks = rank_pairs(lambda rows, columns: model.similarity(images[rows], texts[columns]), image_of, 40)
    for direction in ("i2t", "t2i"):
        figures = list(DirectionMetrics.from_ranks(getattr(ranks, direction)).to_json().values())
        wanted = expected[f"{direction}_metrics"].tolist()
        assert figures[: len(wanted)] == pytest.approx(wanted, abs=1e-9)


@needs_fixtures
def test_a_padded_batch_is_a_batch_of_one_length(model: JointEmbedding, inputs: Arrays) -> None:
    """The originals run captions of one length together, so that `<eos>` is read once; padding has the same id."""
    captions = model.tokenizer.encode([str(caption) for caption in inputs["captions"]])
    with torch.no_grad():
        together = model.text_encoder(Tokens.pad(captions))
        for length in {len(caption) for caption in captions}:
            rows = [row for row, caption in enumerate(captions) if len(caption) == length]
            alone = model.text_encoder(Tokens.pad([captions[row] for row in rows]))
            torch.testing.assert_close(together[rows], alone, rtol=0, atol=1e-6)


@needs_fixtures
def test_printed_figures(name: str, model: JointEmbedding, inputs: Arrays, tmp_path: Path) -> None:
    """From the original's files to the figures of a checkpoint, as the original's evaluation prints them."""
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "test_ims.npy", inputs["images"])
    (data / "test_caps.txt").write_text("".join(f"{caption}\n" for caption in inputs["captions"]), encoding="utf-8")
    pairs = open_data(str(data), "test", ("vector",))
    save_checkpoint(tmp_path / "model", model, pairs, {"epoch": 0, "step": 0, "criterion": "rsum", "score": 0.0})
    metrics = evaluate(tmp_path / "model", data, split="test").metrics
    (output,) = (FIXTURES / name.split()[0]).glob("*_stdout.txt")
    for direction, words in (("i2t", "Image to text"), ("t2i", "Text to image")):
        figures = list(getattr(metrics, direction).to_json().values())
        line = next(line for line in output.read_text().splitlines() if line.startswith(words))
        printed = line.removeprefix(f"{words}: ").split(", ")
        assert [f"{figure:.1f}" for figure in figures[: len(printed)]] == printed


@needs_fixtures
def test_images_without_scale_rank_captions_alike(tmp_path: Path) -> None:
    """Kiros' release trains on images that are not scaled: the same direction, another length."""
    model, inputs = read_original("kiros", tmp_path), dict(np.load(FIXTURES / "kiros" / "inputs.npz"))
    encoder = model.image_encoder
    images = torch.from_numpy(inputs["images"])
    with torch.no_grad():
        scaled, plain = encoder.eval()(images), encoder.train()(images)
    assert not torch.allclose(plain.norm(dim=1), torch.ones(len(plain)))
    torch.testing.assert_close(functional.normalize(plain), scaled)
