"""Our models with the weights of Kiros' code, linxd5's and that of order-embeddings give what those codes gave.

The first two repeat each image five times, and know no MeanR; the last gives an error where we give a score.
"""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.encoders.recurrence import run_recurrence
from vsezoo.evaluation.metrics import DirectionMetrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.interfaces import Tokens
from vsezoo.model import JointEmbedding, build_model, resolve_recipe
from vsezoo.recipe import Part, Recipe
from vsezoo.text import RULES, Vocabulary, WordTokenizer

FIXTURES = Path(os.environ.get("VSEZOO_SHARED", "/nowhere")) / "fixtures"
needs_fixtures = pytest.mark.skipif(not FIXTURES.is_dir(), reason="VSEZOO_SHARED has no fixtures")

TOLERANCE = {"rtol": 0, "atol": 1e-5}
Arrays = dict[str, np.ndarray[Any, Any]]


# From the layout of Theano, x W, to that of torch


def convert_gru(theano: Arrays) -> dict[str, Tensor]:
    """Return the parameters of a `torch.nn.GRU`; Theano's gates are r and u side by side, and the new state apart."""
    width = theano["encoder_Ux"].shape[0]

    def stack(gates: str, new: str) -> Tensor:
        reset, update = theano[gates][:, :width], theano[gates][:, width:]
        return torch.from_numpy(np.vstack([reset.T, update.T, theano[new].T]))

    bias = torch.from_numpy(np.concatenate([theano["encoder_b"], theano["encoder_bx"]]))
    return {
        "weight_ih_l0": stack("encoder_W", "encoder_Wx"),
        "weight_hh_l0": stack("encoder_U", "encoder_Ux"),
        "bias_ih_l0": bias,
        "bias_hh_l0": torch.zeros_like(bias),
    }


def run_theano(theano: Arrays, words: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the states `(B, D)` after all steps of words `(L, B, W)`, as the Theano code makes them; mask `(L, B)`."""

    def sigmoid(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.asarray(1 / (1 + np.exp(-x)))

    width = theano["encoder_Ux"].shape[0]
    state = np.zeros((words.shape[1], width), theano["encoder_U"].dtype)
    for step, present in zip(words, mask, strict=True):
        gates = sigmoid(state @ theano["encoder_U"] + step @ theano["encoder_W"] + theano["encoder_b"])
        reset, update = gates[:, :width], gates[:, width:]
        new = np.tanh((state @ theano["encoder_Ux"]) * reset + step @ theano["encoder_Wx"] + theano["encoder_bx"])
        moved = update * state + (1 - update) * new
        state = present[:, None] * moved + (1 - present)[:, None] * state
    return state


def draw_theano(word_dim: int, width: int) -> Arrays:
    rng = np.random.default_rng(0)
    shapes = {
        "encoder_W": (word_dim, 2 * width),
        "encoder_b": (2 * width,),
        "encoder_U": (width, 2 * width),
        "encoder_Wx": (word_dim, width),
        "encoder_Ux": (width, width),
        "encoder_bx": (width,),
    }
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


@torch.no_grad()
@pytest.mark.parametrize(("word_dim", "width"), [(5, 7), (6, 6)])
def test_a_gru_of_theano_is_one_of_torch(word_dim: int, width: int) -> None:
    theano = draw_theano(word_dim, width)
    gru = nn.GRU(word_dim, width, batch_first=True)
    gru.load_state_dict(convert_gru(theano))
    lengths = torch.tensor([4, 1, 6])
    words = np.random.default_rng(1).normal(size=(6, 3, word_dim)).astype(np.float32)
    mask = (np.arange(6)[:, None] < lengths.numpy()).astype(np.float32)
    expected = run_theano(theano, words, mask)
    inputs = torch.from_numpy(words).transpose(0, 1)
    packed = nn.utils.rnn.pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    np.testing.assert_allclose(gru(packed)[1][0], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(run_recurrence(gru, packed)[1][0], expected, rtol=0, atol=1e-6)
    # A batch of one length, as the originals make them, is a batch with a mask.
    for row, length in enumerate(lengths):
        alone = run_theano(theano, words[:length, [row]], np.ones((length, 1), np.float32))
        np.testing.assert_allclose(alone[0], expected[row], rtol=0, atol=1e-6)


# The fixtures


class PlainUnpickler(pickle.Unpickler):
    """Reads plain values and ordered dictionaries, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        raise pickle.UnpicklingError(f"{module}.{name}")


def unpickle(path: Path) -> Any:
    with path.open("rb") as stream:
        return PlainUnpickler(stream, encoding="utf-8").load()


class Original(NamedTuple):
    """What one of the original codes left."""

    options: dict[str, Any]
    word_ids: dict[str, int]
    tensors: dict[str, Tensor]
    text_encoder: str
    similarity: Part


def read_theano(weights: Path, options: dict[str, Any], word_ids: dict[str, int], similarity: Part) -> Original:
    with np.load(weights) as stored:
        theano = dict(stored)
    tensors = {
        "image_encoder.fc.weight": torch.from_numpy(theano["ff_image_W"].T),
        "image_encoder.fc.bias": torch.from_numpy(theano["ff_image_b"]),
        "text_encoder.embed.weight": torch.from_numpy(theano["Wemb"]),
        **{f"text_encoder.rnn.{name}": tensor for name, tensor in convert_gru(theano).items()},
    }
    return Original(options, word_ids, tensors, "gru", similarity)


def read_kiros(folder: Path, protocol: str) -> Original:
    options = unpickle(folder / f"model.npz{protocol}.pkl")
    word_ids = unpickle(folder / f"model.npz.dictionary{protocol}.pkl")
    return read_theano(folder / "model.npz", options, word_ids, Part("cosine"))


def read_order(folder: Path, protocol: str) -> Original:
    stored = unpickle(folder / f"order{protocol}.pkl")
    return read_theano(folder / "order.npz", stored["options"], stored["worddict"], Part("order", {"squared": True}))


def read_linxd5(folder: Path) -> Original:
    stored = torch.load(folder / "f8k_model_lstm.pkl", weights_only=True)
    names = {"linear": "image_encoder.fc", "lstm": "text_encoder.rnn", "embedding": "text_encoder.embed"}
    tensors = {
        f"{names[module]}.{name}": tensor
        for (module, _, name), tensor in ((key.partition("."), tensor) for key, tensor in stored.items())
    }
    word_ids = unpickle(folder / "f8k.dictionary.pkl")
    return Original(unpickle(folder / "f8k_params_lstm.pkl"), word_ids, tensors, "lstm", Part("cosine"))


def read_original(name: str) -> Original:
    name, _, protocol = name.partition(" ")
    if name == "linxd5":
        return read_linxd5(FIXTURES / name)
    read = read_kiros if name == "kiros" else read_order
    return read(FIXTURES / name, protocol)


def build(original: Original) -> JointEmbedding:
    options = original.options
    use_abs = options.get("abs", False)
    words = [*RULES["split"].special, *sorted(original.word_ids, key=original.word_ids.__getitem__)]
    assert [original.word_ids[word] for word in words[2:]] == list(range(2, len(words)))
    off_by_two = options["n_words"] == len(original.word_ids)
    tokenizer = WordTokenizer(1, Vocabulary(words), "split", off_by_two)
    assert len(tokenizer) == options["n_words"]
    recipe = Recipe(
        "fixture",
        "",
        Part("linear", {"img_dim": options["dim_image"], "use_abs": use_abs}),
        Part(original.text_encoder, {"word_dim": options["dim_word"], "use_abs": use_abs}),
        original.similarity,
        Part("hinge"),
        options["dim"],
    )
    model = build_model(resolve_recipe(recipe), tokenizer)
    model.load_state_dict(original.tensors)
    return model.eval()


@pytest.fixture(
    params=["kiros", "kiros .p0", "linxd5", "order_embedding_order", "order_embedding_order .p0"], scope="module"
)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> JointEmbedding:
    return build(read_original(name))


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
def test_images_without_scale_rank_captions_alike() -> None:
    """Kiros' release trains on images that are not scaled: the same direction, another length."""
    model, inputs = build(read_original("kiros")), dict(np.load(FIXTURES / "kiros" / "inputs.npz"))
    encoder = model.image_encoder
    encoder.normalize_in_training = False  # type: ignore[assignment]
    images = torch.from_numpy(inputs["images"])
    with torch.no_grad():
        scaled, plain = encoder.eval()(images), encoder.train()(images)
    assert not torch.allclose(plain.norm(dim=1), torch.ones(len(plain)))
    torch.testing.assert_close(functional.normalize(plain), scaled)
