"""The files of the codebases in Theano's time: where they are, their words, and weights that do not fit."""

from __future__ import annotations

import json
import pickle
import re
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from theano_files import (
    KIROS,
    LINXD5,
    ORDER,
    WORDS,
    Original,
    make_original,
)
from theano_imports import (
    FORMATS,
    OPTIONS,
    convert,
    load_importer,
    move,
    read,
    refuse,
    require_same,
    write,
)
from tiny import TinyPairs

from vsezoo.checkpoints.checkpoint import load, save_checkpoint
from vsezoo.conversion.dictionary import make_dictionary
from vsezoo.conversion.importer import Source

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
