"""Our models with the weights of Kiros' code, linxd5's and that of order-embeddings do what those codes do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from originals import THEANO, Original, needs_fixtures
from theano_files import draw_theano, run_gru
from torch import nn
from torch.nn import functional

from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.conversion.theano import make_gru
from vsezoo.data.lookup import open_data
from vsezoo.encoders.recurrence import Sequences, read_last
from vsezoo.evaluation.evaluate import evaluate
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding


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
    np.testing.assert_allclose(read_last(gru, Sequences.of(inputs, lengths))[0], expected, rtol=0, atol=1e-6)
    # A batch of one length, as the originals make them, is a batch with a mask.
    for row, length in enumerate(lengths):
        alone = run_gru(theano, words[:length, [row]], np.ones((length, 1), np.float32))
        np.testing.assert_allclose(alone[0], expected[row], rtol=0, atol=1e-6)


# The fixtures


@pytest.fixture(params=THEANO, scope="module")
def original(request: pytest.FixtureRequest) -> Original:
    return THEANO[request.param]


@pytest.fixture(scope="module")
def model(original: Original, tmp_path_factory: pytest.TempPathFactory) -> JointEmbedding:
    return original.read(tmp_path_factory.mktemp("original"))


@needs_fixtures
def test_a_padded_batch_is_a_batch_of_one_length(model: JointEmbedding, original: Original) -> None:
    """The originals run captions of one length together, so that `<eos>` is read once; padding has the same id."""
    captions = model.tokenizer.encode(original.captions)
    with torch.no_grad():
        together = model.text_encoder(Tokens.pad(captions))
        for length in {len(caption) for caption in captions}:
            rows = [row for row, caption in enumerate(captions) if len(caption) == length]
            alone = model.text_encoder(Tokens.pad([captions[row] for row in rows]))
            torch.testing.assert_close(together[rows], alone, rtol=0, atol=1e-6)


@needs_fixtures
def test_printed_figures(original: Original, model: JointEmbedding, tmp_path: Path) -> None:
    """From the original's files to the figures of a checkpoint, as the original's evaluation prints them."""
    data = tmp_path / "data"
    data.mkdir()
    np.save(data / "test_ims.npy", original.inputs["images"])
    (data / "test_caps.txt").write_text("".join(f"{caption}\n" for caption in original.captions), encoding="utf-8")
    pairs = open_data(str(data), "test", ("vector",))
    save_checkpoint(tmp_path / "model", model, pairs, {"epoch": 0, "step": 0, "criterion": "rsum", "score": 0.0})
    metrics = evaluate(tmp_path / "model", data, split="test").metrics
    (output,) = original.folder.glob("*_stdout.txt")
    for direction, words in (("i2t", "Image to text"), ("t2i", "Text to image")):
        figures = list(getattr(metrics, direction).to_json().values())
        line = next(line for line in output.read_text().splitlines() if line.startswith(words))
        printed = line.removeprefix(f"{words}: ").split(", ")
        assert [f"{figure:.1f}" for figure in figures[: len(printed)]] == printed


@needs_fixtures
def test_images_without_scale_rank_captions_alike(tmp_path: Path) -> None:
    """Kiros' release trains on images that are not scaled: the same direction, another length."""
    encoder = THEANO["kiros"].read(tmp_path).image_encoder
    images = torch.from_numpy(THEANO["kiros"].inputs["images"])
    with torch.no_grad():
        scaled, plain = encoder.eval()(images), encoder.train()(images)
    assert not torch.allclose(plain.norm(dim=1), torch.ones(len(plain)))
    torch.testing.assert_close(functional.normalize(plain), scaled)
