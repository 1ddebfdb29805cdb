"""What is written for Kiros' release, linxd5 and order-embeddings is what was read from them."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_import_theano import FORMATS, OPTIONS, convert, load_importer, read, require_same, write
from theano_files import CAPTIONS, KIROS, LINXD5, ORDER, make_original
from tiny import WIDTH, TinyPairs, make_model

from vsezoo.conversion.importer import Source
from vsezoo.errors import StorageError, UsageError
from vsezoo.model import JointEmbedding

NOT_OURS = {"data", "cnn", "dispFreq", "saveto"}
"""Options that a model does not know."""


def load_weights(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    if path.suffix == ".npz":
        return dict(np.load(path))
    return {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kiros", {}),
        ("kiros", {"encoder": "bow", "dim": 5}),
        ("kiros", {"ncon": 100}),
        ("linxd5", {}),
        ("order-embedding", {}),
        ("order-embedding", {"method": "cosine", "abs": False}),
    ],
)
@pytest.mark.parametrize("off_by_two", [True, False])
def test_there_and_back_again(name: str, options: dict[str, Any], off_by_two: bool, tmp_path: Path) -> None:
    original = make_original({**OPTIONS[name], **options}, off_by_two=off_by_two)
    for array in original.arrays.values():
        array.flat[0] = -0.0
    model = convert(name, tmp_path, original)
    (tmp_path / "new").mkdir()
    path = write(name, tmp_path, original)
    files = load_importer(name).write(model, tmp_path / "new" / path.name)
    assert [file.name for file in files] == sorted((file.name for file in files), key=lambda file: file != path.name)
    assert {file.name for file in files} == {file.name for file in tmp_path.iterdir() if file.is_file()}
    before, after = load_weights(path), load_weights(files[0])
    assert before.keys() == after.keys()
    for key, array in before.items():
        assert after[key].dtype == np.float32
        assert after[key].shape == array.shape
        assert after[key].tobytes() == array.tobytes()
    again, first = read(name, files[0]), read(name, path)
    assert again.recipe == first.recipe
    assert (
        again.notes["options"].items()
        >= {
            key: value for key, value in original.options.items() if key not in NOT_OURS | {"maxlen_w", "reload_"}
        }.items()
    )
    require_same(again.build(Source(files[0])), original)
    assert load_importer(name).recognise(Source(files[0]))


@pytest.mark.parametrize("name", FORMATS)
def test_the_pickles_are_of_plain_data_that_python_2_reads(name: str, tmp_path: Path) -> None:
    original = make_original(OPTIONS[name])
    model = convert(name, tmp_path, original)
    files = load_importer(name).write(model, tmp_path / "new.npz")
    for path in files[1:]:
        content = path.read_bytes()
        assert content[:2] == b"\x80\x02"
        value = pickle.loads(content)  # our own
        words = value if path.name.endswith("dictionary.pkl") else value.get("worddict")
        if words is not None:
            assert type(words) is OrderedDict
            assert words == original.ids
        if "word_idict" in value:
            assert value["word_idict"] == {0: "<eos>", 1: "UNK", **{id: word for word, id in original.ids.items()}}


@pytest.mark.parametrize("given", ["new.pkl", "new_model_lstm.pkl"])
def test_the_names_of_linxd5(given: str, tmp_path: Path) -> None:
    model = convert("linxd5", tmp_path, make_original(LINXD5))
    files = load_importer("linxd5").write(model, tmp_path / given)
    assert [file.name for file in files] == ["new_model_lstm.pkl", "new_params_lstm.pkl", "new.dictionary.pkl"]


# Models of ours


def make_gru(**settings: Any) -> JointEmbedding:
    return make_model("kiros-gru", **settings)


@torch.no_grad()
def test_two_biases_become_one(tmp_path: Path) -> None:
    model = make_gru()
    bias = model.get_parameter("text_encoder.rnn.bias_hh_l0")
    width = model.recipe.embed_size
    bias[: 2 * width] = torch.randn(2 * width)
    model.get_parameter("text_encoder.rnn.bias_ih_l0").normal_()
    files = load_importer("kiros").write(model, tmp_path / "x.npz")
    again = read("kiros", files[0]).build(Source(files[0]))
    features = torch.randn(4, WIDTH)
    torch.testing.assert_close(again.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS), rtol=0, atol=1e-6)
    torch.testing.assert_close(again.encode_images(features), model.encode_images(features), rtol=0, atol=0)
    bias[-1] = 0.1
    with pytest.raises(UsageError, match="has a bias inside its reset gate"):
        load_importer("kiros").write(model, tmp_path / "y.npz")
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize(
    ("name", "model", "settings", "problem"),
    [
        ("kiros", "kiros-lstm", {}, "does not support text_encoder 'lstm'"),
        ("kiros", "order", {}, "does not support similarity 'order'"),
        (
            "kiros",
            "order-symmetric",
            {"text_encoder__use_abs": True},
            "does not support text_encoder.use_abs=True, only False",
        ),
        ("kiros", "vsepp", {}, "does not support text_encoder.words='nltk', only 'split'"),
        (
            "kiros",
            "kiros-gru",
            {"image_encoder__center": True},
            "does not support image_encoder.center=True, only False",
        ),
        ("kiros", "kiros-gru", {"image_encoder": "regions"}, "does not support image_encoder 'regions'"),
        ("kiros", "kiros-gru", {"text_encoder__num_layers": 2}, "does not support text_encoder.num_layers=2, only 1"),
        ("linxd5", "kiros-gru", {}, "does not support text_encoder 'gru'"),
        (
            "linxd5",
            "kiros-lstm",
            {"text_encoder__bidirectional": True},
            "does not support text_encoder.bidirectional=True",
        ),
        ("order-embedding", "kiros-bow", {"text_encoder__word_dim": 0}, "does not support text_encoder 'bow'"),
        (
            "order-embedding",
            "order",
            {"similarity__squared": False},
            "does not support similarity.squared=False, only True",
        ),
        ("order-embedding", "order", {"image_encoder__use_abs": False}, "does not support image_encoder.use_abs=False"),
    ],
)
def test_a_model_that_the_codebase_does_not_have(
    name: str, model: str, settings: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    shape = (3, WIDTH) if settings.get("image_encoder") == "regions" else (WIDTH,)
    with pytest.raises(UsageError) as caught:
        load_importer(name).write(make_model(model, TinyPairs(shape=shape), **settings), tmp_path / "x.npz")
    assert problem in caught.value.problem
    assert caught.value.remedy
    assert not any(tmp_path.iterdir())


def test_the_width_of_a_bag_of_words(tmp_path: Path) -> None:
    model = make_model("kiros-bow", text_encoder__word_dim=0)
    files = load_importer("kiros").write(model, tmp_path / "x.npz")
    assert pickle.loads(files[1].read_bytes())["dim_word"] == 5
    again = read("kiros", files[0]).build(Source(files[0]))
    torch.testing.assert_close(again.encode_texts(CAPTIONS), model.encode_texts(CAPTIONS), rtol=0, atol=0)


@pytest.mark.parametrize("name", FORMATS)
def test_a_place_that_cannot_be_written(name: str, tmp_path: Path) -> None:
    options = {"kiros": KIROS, "linxd5": LINXD5, "order-embedding": ORDER}[name]
    model = convert(name, tmp_path, make_original(options))
    with pytest.raises(StorageError, match="cannot be written"):
        load_importer(name).write(model, tmp_path / "nowhere" / "x.npz")


def test_the_weights_of_order_embeddings_are_no_pkl(tmp_path: Path) -> None:
    model = convert("order-embedding", tmp_path, make_original(ORDER))
    with pytest.raises(UsageError, match="is the name of the options"):
        load_importer("order-embedding").write(model, tmp_path / "x.pkl")
