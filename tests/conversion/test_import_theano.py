"""Importers of Kiros' release, linxd5 and order-embeddings, against the formulas of those codes."""

from __future__ import annotations

import json
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from theano_files import (
    CAPTIONS,
    KIROS,
    LINXD5,
    ORDER,
    WORDS,
    Original,
    draw_features,
    make_original,
    write_kiros,
    write_linxd5,
    write_order,
)
from tiny import TinyPairs

from vsezoo import registry
from vsezoo.checkpoints.checkpoint import load, save_checkpoint
from vsezoo.conversion.dictionary import make_dictionary
from vsezoo.conversion.importer import Imported, Importer, Source
from vsezoo.errors import CheckpointError
from vsezoo.model import JointEmbedding

WRITERS = {"kiros": write_kiros, "linxd5": write_linxd5, "order-embedding": write_order}
OPTIONS = {"kiros": KIROS, "linxd5": LINXD5, "order-embedding": ORDER}
FORMATS = list(WRITERS)


def load_importer(name: str) -> Importer:
    importer: Importer = registry.load("importers", name)()
    return importer


def write(name: str, folder: Path, original: Original, protocol: int = 2) -> Path:
    return WRITERS[name](original, folder / ("f8k" if name == "linxd5" else "f8k.npz"), protocol)


def recognise(path: Path) -> list[str]:
    return [name for name in FORMATS if load_importer(name).recognise(Source(path))]


def read(name: str, path: Path, vocab: Path | None = None) -> Imported:
    return load_importer(name).read(Source(path), {} if vocab is None else {"vocab": str(vocab)})


def convert(name: str, folder: Path, original: Original, protocol: int = 2) -> JointEmbedding:
    path = write(name, folder, original, protocol)
    return read(name, path).build(Source(path))


def refuse(name: str, path: Path, vocab: Path | None = None) -> CheckpointError:
    with pytest.raises(CheckpointError) as caught:
        read(name, path, vocab)
    assert caught.value.remedy
    return caught.value


def require_same(model: JointEmbedding, original: Original) -> None:
    features = draw_features(original.options)
    images, texts = original.encode_images(features.astype(np.float64)), original.encode_texts(CAPTIONS)
    found = model.encode_images(features), model.encode_texts(CAPTIONS)
    np.testing.assert_allclose(found[0], images, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found[1], texts, rtol=0, atol=1e-6)
    np.testing.assert_allclose(model.similarity(*found), original.score(images, texts), rtol=0, atol=1e-6)


# The model


@pytest.mark.parametrize("off_by_two", [True, False])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("kiros", {}),
        ("kiros", {"encoder": None}),
        ("kiros", {"dim": 4, "dim_word": 4, "dim_image": 3}),
        ("kiros", {"encoder": "bow", "dim": 6, "dim_word": 6}),
        ("linxd5", {}),
        ("linxd5", {"dim": 3, "dim_word": 8}),
        ("order-embedding", {}),
        ("order-embedding", {"abs": False}),
        ("order-embedding", {"method": "cosine", "abs": False, "dim": 2}),
        ("order-embedding", {"method": "cosine"}),
    ],
)
def test_the_model_gives_what_the_original_code_gives(
    name: str, options: Mapping[str, Any], off_by_two: bool, tmp_path: Path
) -> None:
    original = make_original({**OPTIONS[name], **options}, off_by_two=off_by_two)
    require_same(convert(name, tmp_path, original), original)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol(name: str, protocol: int, tmp_path: Path) -> None:
    original = make_original(OPTIONS[name])
    require_same(convert(name, tmp_path, original, protocol), original)


@pytest.mark.parametrize("name", FORMATS)
def test_the_content_tells_the_format(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path, make_original(OPTIONS[name]))
    assert recognise(path) == [name]
    for other in {tmp_path, *tmp_path.iterdir()} - {path}:
        assert recognise(other) == []


def test_arrays_alone_may_be_of_two_formats(tmp_path: Path) -> None:
    path = write("kiros", tmp_path, make_original(KIROS))
    (tmp_path / "f8k.npz.pkl").unlink()
    (tmp_path / "f8k.pkl").write_bytes(pickle.dumps({"worddict": 2}, 2))  # the ids of a word
    assert recognise(path) == ["kiros"]
    (tmp_path / "f8k.npz.dictionary.pkl").unlink()
    assert recognise(path) == ["kiros", "order-embedding"]


def test_the_words_that_are_named_tell_the_format(tmp_path: Path) -> None:
    path = write("order-embedding", tmp_path, make_original(ORDER))
    both = move(tmp_path / "f8k.pkl", tmp_path / "there", "x")
    words = tmp_path / "words"
    words.write_bytes(pickle.dumps({"a": 2}, 2))
    for vocab, form in ((both, "order-embedding"), (words, "kiros")):
        source = Source(path, vocab)
        assert [name for name in FORMATS if load_importer(name).recognise(source)] == [form]


@pytest.mark.parametrize("name", ["kiros", "order-embedding"])
@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8"])
def test_arrays_of_other_types(name: str, dtype: str, tmp_path: Path) -> None:
    original = make_original(OPTIONS[name])
    halved = {key: array.astype(np.float16).astype(np.float32) for key, array in original.arrays.items()}
    path = write(name, tmp_path, replace(original, arrays={key: halved[key].astype(dtype) for key in halved}))
    require_same(read(name, path).build(Source(path)), replace(original, arrays=halved))


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_tensors_of_other_types(dtype: str, tmp_path: Path) -> None:
    original = make_original(LINXD5)
    halved = {key: array.astype(np.float16).astype(np.float32) for key, array in original.arrays.items()}
    path = write("linxd5", tmp_path, replace(original, arrays={key: halved[key].astype(dtype) for key in halved}))
    require_same(read("linxd5", path).build(Source(path)), replace(original, arrays=halved))


# The options


SAME = {
    "embed_size": 7,
    "image_encoder.img_dim": 9,
    "text_encoder.word_dim": 5,
    "text_encoder.words": "split",
    "text_encoder.off_by_two": True,
    "loss.margin": 0.3,
    "loss.max_violation": False,
    "loss.ncon": 0,
    "similarity": "cosine",
    "training.num_epochs": 4,
    "training.grad_clip": 3.0,
    "training.batch_size": 60,
    "training.val_step": 16,
    "training.learning_rate": 0.005,
}
THEIRS: dict[str, dict[str, Any]] = {
    "kiros": {
        "text_encoder": "gru",
        "image_encoder.normalize": True,
        "image_encoder.normalize_in_training": False,
        "optimizer": "theano_adam",
        "training.weight_decay": 0.01,
        "training.decay_biases": True,
        "training.max_words": 80,
        "training.batches": "lengths",
    },
    "linxd5": {
        "text_encoder": "lstm",
        "image_encoder.normalize": True,
        "image_encoder.normalize_in_training": True,
        "optimizer": "adam",
        "training.max_words": 0,
        "training.batches": "lengths",
    },
    "order-embedding": {
        "text_encoder": "gru",
        "text_encoder.use_abs": True,
        "image_encoder.use_abs": True,
        "similarity": "order",
        "similarity.squared": True,
        "optimizer": "theano_adam",
        "training.clip_per_tensor": True,
        "training.batches": "images",
    },
}


def get(imported: Imported, setting: str) -> Any:
    value: Any = imported.recipe.to_json()
    head, _, tail = setting.partition(".")
    return value[head]["options"][tail] if tail and head != "training" else value[head][tail] if tail else value[head]


@pytest.mark.parametrize("name", FORMATS)
def test_every_option_becomes_a_setting_or_a_note(name: str, tmp_path: Path) -> None:
    original = make_original(OPTIONS[name])
    imported = read(name, write(name, tmp_path, original))
    expected = {**SAME, **THEIRS[name]}
    found = {setting: get(imported, setting) for setting in expected}
    names = {setting: value["name"] for setting, value in found.items() if isinstance(value, dict)}
    assert {**found, **names} == expected
    assert imported.notes == {"options": original.options}
    assert json.loads(json.dumps(imported.notes)) == imported.notes
    data = "10crop_precomp" if name == "order-embedding" else "f8k"
    assert imported.data == {"name": data, "kind": "vector", "image_shape": [9]}


def test_the_data_of_order_embeddings_have_other_features(tmp_path: Path) -> None:
    imported = read("order-embedding", write("order-embedding", tmp_path, make_original({**ORDER, "cnn": "1crop"})))
    assert imported.data["name"] == "coco_1crop"


def test_the_symmetric_baseline(tmp_path: Path) -> None:
    original = make_original({**ORDER, "method": "cosine", "abs": False})
    imported = read("order-embedding", write("order-embedding", tmp_path, original))
    assert imported.recipe.name == "order-symmetric"
    assert get(imported, "similarity")["name"] == "cosine"
    assert not get(imported, "image_encoder.use_abs")
    assert not get(imported, "text_encoder.use_abs")


def test_the_first_release_had_another_loss_and_no_learning_rate(tmp_path: Path) -> None:
    imported = read("kiros", write("kiros", tmp_path, make_original({**KIROS, "ncon": 100, "lrate": None})))
    assert get(imported, "loss.ncon") == 100
    assert get(imported, "training.learning_rate") == 0.01


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"optimizer": "sgd"}, "optimizer='sgd', which is not supported; supported values: 'adam'"),
        ({"encoder": "cnn"}, "encoder='cnn', which is not supported"),
        ({"dropout": 0.5}, "has the option 'dropout', which is unknown in this format"),
        ({"margin": "large"}, "has the option margin='large', which is not supported. loss.margin"),
        ({"margin": -1.0}, "has the option margin=-1.0, which is not supported. loss.margin"),
        ({"lrate": -0.1}, "has the option lrate=-0.1, which is not supported. training.learning_rate"),
        ({"batch_size": 1.5}, "has the option batch_size=1.5, which is not supported"),
        ({"dim": "7"}, "has the option dim='7'; it must be a positive integer"),
        ({"dim_word": 0}, "has the option dim_word=0; it must be a positive integer"),
        ({"dim_image": None}, "has no option 'dim_image'"),
        ({"n_words": None}, "has no option 'n_words'"),
        ({"saveto": ["x"]}, "has the option 'saveto' of type list"),
    ],
)
def test_what_cannot_be_expressed_is_an_error(
    name: str, options: Mapping[str, Any], problem: str, tmp_path: Path
) -> None:
    original = make_original(OPTIONS[name])
    held = {key: value for key, value in {**original.options, **options}.items() if value is not None}
    error = refuse(name, write(name, tmp_path, replace(original, options=held)))
    assert problem in error.problem
    assert Path(str(error.file)).suffix == ".pkl"


@pytest.mark.parametrize(("option", "value"), [("method", "euclid"), ("abs", "yes")])
def test_what_order_embeddings_do_not_have(option: str, value: str, tmp_path: Path) -> None:
    original = make_original({**ORDER, option: value})
    assert f"{option}={value!r}" in refuse("order-embedding", write("order-embedding", tmp_path, original)).problem


def test_a_bag_of_words_is_as_wide_as_its_words(tmp_path: Path) -> None:
    path = write("kiros", tmp_path, make_original({**KIROS, "encoder": "bow", "dim": 4}))
    assert "has dim=4 and dim_word=5; in a bag of words" in refuse("kiros", path).problem


@pytest.mark.parametrize("name", FORMATS)
def test_options_that_are_none(name: str, tmp_path: Path) -> None:
    path = write(name, tmp_path, make_original(OPTIONS[name]))
    companion = {"kiros": "f8k.npz.pkl", "linxd5": "f8k_params_lstm.pkl", "order-embedding": "f8k.pkl"}[name]
    for value in ([1], {1: 2}, {"options": 3}, 4.5):
        (tmp_path / companion).write_bytes(pickle.dumps(value, 2))
        assert refuse(name, path).file == str(tmp_path / companion)


# The words


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("count", [10, 13])
def test_a_dictionary_of_another_size(name: str, count: int, tmp_path: Path) -> None:
    path = write(name, tmp_path, make_original(OPTIONS[name]))
    vocab = tmp_path / "words.pkl"
    vocab.write_bytes(pickle.dumps({f"w{index}": index for index in range(2, 2 + count)}, 2))
    problem = refuse(name, path, vocab).problem
    assert f"has {count + 2} words" in problem
    assert "has 11 rows" in problem


def test_a_vocabulary_of_other_codebases(tmp_path: Path) -> None:
    path = write("kiros", tmp_path, make_original(KIROS))
    vocab = tmp_path / "words.json"
    words = ["<pad>", "<start>", "<end>", "<unk>", *(f"w{index}" for index in range(7))]
    ids = {word: index for index, word in enumerate(words)}
    value = {"word2idx": ids, "idx2word": {str(index): word for word, index in ids.items()}, "idx": 11}
    vocab.write_text(json.dumps(value), encoding="utf-8")
    problem = refuse("kiros", path, vocab).problem
    assert "'<pad>', '<start>'" in problem
    assert "<eos> and UNK" in problem


def test_a_dictionary_with_a_gap(tmp_path: Path) -> None:
    ids = {"a": 2, "b": 4}
    original = replace(make_original({**KIROS, "n_words": 2}), ids=ids)
    assert "none with the id 3" in refuse("kiros", write("kiros", tmp_path, original)).problem


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("off_by_two", [True, False])
def test_a_dictionary_that_holds_the_special_words(name: str, off_by_two: bool, tmp_path: Path) -> None:
    ids = OrderedDict((word, index) for index, word in enumerate(["<eos>", "UNK", *WORDS]))
    original = make_original(OPTIONS[name], off_by_two=off_by_two, ids=ids)
    model = convert(name, tmp_path, original)
    require_same(model, original)
    assert len(model.tokenizer) == len(WORDS) + (0 if off_by_two else 2)


@pytest.mark.parametrize("name", FORMATS)
def test_words_of_captions_that_are_spelt_like_special_ones(name: str, tmp_path: Path) -> None:
    """The originals give them ids of their own, which captions with these words use."""
    ids = OrderedDict((word, index) for index, word in enumerate(["UNK", *WORDS, "<eos>"], start=2))
    original = make_original(OPTIONS[name], off_by_two=False, ids=ids)
    model = convert(name, tmp_path, original)
    captions = ["UNK a dog", "nobody a dog", "dog <eos> UNK"]
    np.testing.assert_allclose(model.encode_texts(captions), original.encode_texts(captions), rtol=0, atol=1e-6)
    trained = {"epoch": 0, "step": 0, "criterion": "rsum", "score": 0.0}
    save_checkpoint(tmp_path / "saved", model, TinyPairs(), trained)
    again = load(tmp_path / "saved")
    torch.testing.assert_close(again.encode_texts(captions), model.encode_texts(captions), rtol=0, atol=0)
    assert make_dictionary(again) == ids


# Where the files are


@pytest.mark.parametrize(
    ("name", "absent", "wanted"),
    [
        ("kiros", "f8k.npz.pkl", "f8k.npz.pkl"),
        ("kiros", "f8k.npz.dictionary.pkl", "f8k.npz.dictionary.pkl"),
        ("linxd5", "f8k_params_lstm.pkl", "f8k_params_lstm.pkl"),
        ("order-embedding", "f8k.pkl", "f8k.pkl"),
    ],
)
def test_a_companion_that_is_absent_is_named(name: str, absent: str, wanted: str, tmp_path: Path) -> None:
    path = write(name, tmp_path, make_original(OPTIONS[name]))
    (tmp_path / absent).unlink()
    error = refuse(name, path)
    assert error.file == str(tmp_path / wanted)
    assert error.problem == "does not exist, but is needed."
    assert "--vocab" in error.remedy


def test_the_dictionary_of_linxd5_is_in_two_files(tmp_path: Path) -> None:
    original = make_original(LINXD5)
    path = write("linxd5", tmp_path, original)
    beside = tmp_path / "f8k.dictionary.pkl"
    ids = {**original.ids, "a": original.ids["dog"], "dog": original.ids["a"]}
    beside.write_bytes(pickle.dumps(ids, 2))
    assert "has words that differ from f8k.dictionary.pkl" in refuse("linxd5", path).problem
    swapped = read("linxd5", path, beside)
    require_same(swapped.build(Source(path)), replace(original, ids=ids))
    beside.unlink()
    require_same(read("linxd5", path).build(Source(path)), original)


def move(path: Path, folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    return path.rename(folder / name)


def test_files_of_kiros_under_other_names(tmp_path: Path) -> None:
    original = make_original(KIROS)
    path = write("kiros", tmp_path, original)
    vocab = move(tmp_path / "f8k.npz.dictionary.pkl", tmp_path / "there", "words")
    require_same(read("kiros", path, vocab).build(Source(path)), original)
    # Weights under another name, options and words together.
    other = move(path, tmp_path / "here", "w.bin")
    vocab = vocab.rename(vocab.with_name("old.npz.dictionary.pkl"))
    move(tmp_path / "f8k.npz.pkl", tmp_path / "there", "old.npz.pkl")
    source = Source(other)
    assert load_importer("kiros").recognise(source)
    require_same(read("kiros", other, vocab).build(source), original)


@pytest.mark.parametrize(("name", "companion"), [("linxd5", "f8k_params_lstm.pkl"), ("order-embedding", "f8k.pkl")])
def test_a_file_of_options_and_words_elsewhere(
    name: str, companion: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = make_original(OPTIONS[name])
    path = move(write(name, tmp_path, original), tmp_path / "here", "w.bin")
    both = move(tmp_path / companion, tmp_path / "there", "x.pickle")
    require_same(read(name, path, both).build(Source(path)), original)
    monkeypatch.chdir(tmp_path)  # a path is from where the user is
    require_same(read(name, path, Path("there") / "x.pickle").build(Source(path)), original)


def test_options_beside_and_a_dictionary_elsewhere(tmp_path: Path) -> None:
    original = make_original(ORDER)
    path = write("order-embedding", tmp_path, replace(original, ids={"other": 2}))
    vocab = tmp_path / "words.json"
    vocab.write_text(json.dumps(original.ids), encoding="utf-8")
    require_same(read("order-embedding", path, vocab).build(Source(path)), original)
    assert "--vocab" in refuse("order-embedding", path, tmp_path / "nothing").remedy


# The weights


def spoil(original: Original, **arrays: Any) -> Original:
    changed = {**original.arrays, **arrays}
    return replace(original, arrays={name: array for name, array in changed.items() if array is not None})


@pytest.mark.parametrize(
    ("name", "arrays", "problem"),
    [
        ("kiros", {"Wemb": None}, "lacks array Wemb."),
        ("kiros", {"encoder_U": None, "encoder_bx": None}, "lacks arrays encoder_U, encoder_bx."),
        ("kiros", {"decoder_W": np.ones(2, np.float32)}, "has the extra array decoder_W."),
        ("kiros", {"Wemb": np.ones((13, 5), np.float32)}, "Wemb of shape (13, 5) where the options require (11, 5)"),
        ("kiros", {"encoder_bx": np.ones(8, np.float32)}, "encoder_bx of shape (8,) where the options require (7,)"),
        ("kiros", {"ff_image_b": np.ones(7, np.int32)}, "has no array of floating-point numbers in ff_image_b"),
        ("kiros", {"ff_image_b": np.array(["x"] * 7)}, "has no array of floating-point numbers in ff_image_b"),
        ("order-embedding", {"ff_image_W": None}, "lacks array ff_image_W."),
        ("order-embedding", {"Wemb": np.ones((11, 6), np.float32)}, "Wemb of shape (11, 6)"),
        ("linxd5", {"linear.bias": None}, "lacks array linear.bias."),
        ("linxd5", {"lstm.bias_ih_l1": np.ones(28, np.float32)}, "has the extra array lstm.bias_ih_l1."),
        ("linxd5", {"linear.weight": np.ones((9, 7), np.float32)}, "linear.weight of shape (9, 7)"),
        ("linxd5", {"linear.bias": np.ones(7, np.int32)}, "has no array of floating-point numbers in linear.bias"),
    ],
)
def test_weights_that_do_not_fit(name: str, arrays: Any, problem: str, tmp_path: Path) -> None:
    path = write(name, tmp_path, spoil(make_original(OPTIONS[name]), **arrays))
    error = refuse(name, path)
    assert problem in error.problem
    assert error.file == str(path)


def test_a_bag_of_words_with_a_gru(tmp_path: Path) -> None:
    gru = make_original({**KIROS, "dim": 5})
    original = replace(gru, options={**gru.options, "encoder": "bow"})
    problem = refuse("kiros", write("kiros", tmp_path, original)).problem
    assert re.search(r"has the extra arrays encoder_U, .*, …\.", problem)


@pytest.mark.parametrize("content", [b"[1, 2]", pickle.dumps({"linear.weight": 3}, 2)])
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_that_is_something_else(name: str, content: bytes, tmp_path: Path) -> None:
    path = write(name, tmp_path, make_original(OPTIONS[name]))
    path.write_bytes(content)
    assert not load_importer(name).recognise(Source(path))
    assert refuse(name, path).file == str(path)


def test_a_state_dict_of_something_else_than_tensors(tmp_path: Path) -> None:
    path = write("linxd5", tmp_path, make_original(LINXD5))
    state = torch.load(path, weights_only=True)
    torch.save({**state, "linear.bias": [1.0]}, path)
    assert "has no array of floating-point numbers in linear.bias" in refuse("linxd5", path).problem
