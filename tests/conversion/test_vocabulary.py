"""Vocabularies of other codebases, and the files of the originals where they are there."""

from __future__ import annotations

import json
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_pickles import PYTHON_2

from vsezoo.conversion.arrays import read_npz
from vsezoo.conversion.pickles import read_pickle
from vsezoo.conversion.torch_files import read_torch
from vsezoo.conversion.vocabulary import list_words, read_vocabulary, require_vocabulary
from vsezoo.errors import CheckpointError

WORDS = ["<pad>", "<start>", "<end>", "<unk>", "a", "dog"]
SHARED = os.environ.get("VSEZOO_SHARED")
shared = pytest.mark.skipif(SHARED is None, reason="VSEZOO_SHARED is not set")
FIXTURES = ("vsepp", "vsepp_order", "VSRN_coco", "VSRN_f30k")


def write(path: Path, value: Any) -> Path:
    content = json.dumps(value).encode() if path.suffix == ".json" else pickle.dumps(value, 2)
    path.write_bytes(content)
    return path


def test_json_of_scan(tmp_path: Path) -> None:
    ids = {word: index for index, word in reversed(list(enumerate(WORDS)))}
    value = {"word2idx": ids, "idx2word": {str(index): word for word, index in ids.items()}, "idx": 6}
    assert read_vocabulary(write(tmp_path / "v.json", value)) == WORDS


def test_a_pickled_vocabulary_lacks_its_inverse(tmp_path: Path) -> None:
    path = tmp_path / "v.pkl"
    path.write_bytes(PYTHON_2["protocol-2"])
    with pytest.raises(CheckpointError, match="has no dictionary idx2word"):
        read_vocabulary(path)


def test_a_pickled_vocabulary(tmp_path: Path) -> None:
    path = tmp_path / "v.pkl"
    state = pickle.dumps({"word2idx": {"a": 0, "b": 1}, "idx2word": {0: "a", 1: "b"}, "idx": 2}, 2)[2:-1]
    path.write_bytes(b"\x80\x02cvocab\nVocabulary\n)\x81" + state + b"b.")
    assert read_vocabulary(path) == ["a", "b"]


def test_a_dictionary_of_kiros_begins_behind_its_two_special_words(tmp_path: Path) -> None:
    path = write(tmp_path / "dictionary.pkl", OrderedDict([("dog", 3), ("a", 2)]))
    assert read_vocabulary(path) == ["<eos>", "UNK", "a", "dog"]


def test_a_dictionary_that_holds_its_special_words(tmp_path: Path) -> None:
    assert list_words({"b": 1, "a": 0}, tmp_path) == ["a", "b"]


@pytest.mark.parametrize("rows", [5, 7])
def test_the_size_must_be_that_of_the_embedding(rows: int, tmp_path: Path) -> None:
    require_vocabulary(WORDS, 6, tmp_path / "v.json")
    with pytest.raises(CheckpointError, match=f"has 6 words, but .* has {rows} rows") as caught:
        require_vocabulary(WORDS, rows, tmp_path / "v.json", remedy="Take the other.")
    assert caught.value.remedy == "Take the other."


@shared
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("f8k_precomp_vocab.pkl", 3_178),
        ("f30k_precomp_vocab.pkl", 8_481),
        ("coco_precomp_vocab.pkl", 10_006),
        ("coco_precomp_vocab.json", 11_353),
    ],
)
def test_the_vocabularies_of_the_originals(name: str, size: int) -> None:
    words = read_vocabulary(Path(str(SHARED)) / "data" / "vocab" / name)
    assert len(words) == size
    assert words[:4] == WORDS[:4]


@shared
@pytest.mark.parametrize("folder", FIXTURES)
def test_the_checkpoints_of_the_originals(folder: str) -> None:
    place = Path(str(SHARED)) / "fixtures" / folder
    zipped, row = (read_torch(place / name) for name in ("model_best.pth.tar", "model_best_legacy.pth.tar"))
    assert zipped["opt"].attributes == json.loads((place / "opt.json").read_text()) == row["opt"].attributes
    for one, other in zip(zipped["model"], row["model"], strict=True):
        assert list(one) == list(other)
        assert all(one[name].equal(other[name]) for name in one)
    vocabularies = [read_vocabulary(path) for path in sorted(place.glob("*_vocab*"))]
    assert len(vocabularies) == 3
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]
    require_vocabulary(vocabularies[0], len(zipped["model"][1]["embed.weight"]), place)


@pytest.mark.slow
@shared
def test_the_files_of_kiros_and_his_followers() -> None:
    place = Path(str(SHARED)) / "fixtures"
    for name in ("kiros/model.npz.pkl", "kiros/model.npz.dictionary.pkl", "order_embedding_order/order.pkl"):
        early = place / name.replace(".pkl", ".p0.pkl")
        assert read_pickle(place / name) == read_pickle(early)
    words = read_vocabulary(place / "kiros/model.npz.dictionary.pkl")
    arrays = read_npz(place / "kiros/model.npz")
    assert len(arrays["Wemb"]) == len(words) - 2  # the release counts the words, not the ids
    assert words == read_vocabulary(place / "linxd5/f8k.dictionary.pkl")
    order = read_pickle(place / "order_embedding_order/order.pkl")
    assert len(list_words(order["worddict"], place)) == order["options"]["n_words"]
    for path in sorted(place.glob("*/*.npz")):
        with np.load(path) as expected:
            for name, array in read_npz(path).items():
                wanted = expected[name].astype(np.float32) if expected[name].dtype.kind == "f" else expected[name]
                np.testing.assert_array_equal(array, wanted)
