"""Importers of Kiros' release, linxd5 and order-embeddings, against the formulas of those codes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from theano_files import (
    KIROS,
    LINXD5,
    ORDER,
    make_original,
)
from theano_imports import (
    FORMATS,
    OPTIONS,
    convert,
    load_importer,
    move,
    read,
    recognise,
    refuse,
    require_same,
    write,
)

from vsezoo.conversion.importer import Imported, Source

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
