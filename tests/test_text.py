"""Captions as words and ids: the tokenizer of the VSE++ family and its vocabulary."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vsezoo.data.caption_file import read_captions
from vsezoo.errors import CheckpointError
from vsezoo.text import END, PAD, SPECIAL_WORDS, START, UNKNOWN, Vocabulary, WordTokenizer

SHARED = Path(os.environ.get("VSEZOO_SHARED", "/nowhere"))


def fit_tokenizer(*captions: str, threshold: int = 1) -> WordTokenizer:
    tokenizer = WordTokenizer(threshold)
    tokenizer.fit(tokenizer.split(captions))
    return tokenizer


@pytest.mark.parametrize("caption", ["A man.", 'Two dogs, a ball and "snow".', "Une fille à vélo", "It's a man's hat"])
def test_captions_read_from_a_file_have_the_tokens_of_the_text(tmp_path: Path, caption: str) -> None:
    """Captions taken for bytes have tokens such as `b'a`, which ruined many reproductions under Python 3."""
    file = tmp_path / "train_caps.txt"
    file.write_bytes("\n".join([caption] * 5).encode())
    tokenizer = WordTokenizer()
    words = tokenizer.split(read_captions(file))
    assert words == tokenizer.split([caption]) * 5
    assert not any(word.startswith(("b'", 'b"')) for word in words[0])


def test_split_lowers_and_cuts_as_treebank_does() -> None:
    words = WordTokenizer().split(["A man can't ride, (it's) TOO steep."])
    assert words == [["a", "man", "ca", "n't", "ride", ",", "(", "it", "'s", ")", "too", "steep", "."]]


def test_a_line_is_one_sentence() -> None:
    assert WordTokenizer().split(["a dog. it runs."]) == [["a", "dog.", "it", "runs", "."]]


def test_vocabulary_of_a_hand_counted_text() -> None:
    vocabulary = fit_tokenizer("b b b a a c c d", threshold=2).vocabulary
    assert vocabulary.words == ("<pad>", "<start>", "<end>", "<unk>", "b", "a", "c")
    assert "d" not in vocabulary
    assert [vocabulary.id_of(word) for word in ("b", "a", "c", "d")] == [4, 5, 6, UNKNOWN]


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([*"abcde", "<unk>", "<pad>"]))), st.integers(1, 5))
def test_vocabulary_against_counting(captions: list[list[str]], threshold: int) -> None:
    words = Vocabulary.build(captions, threshold).words
    counts = Counter(word for caption in captions for word in caption)
    assert words[:4] == SPECIAL_WORDS
    assert set(words[4:]) == {word for word in "abcde" if counts[word] >= threshold}
    for before, after in pairwise(words[4:]):
        assert counts[before] > counts[after] or (counts[before] == counts[after] and before < after)


def test_special_words_in_a_caption_are_plain_text() -> None:
    """Angle brackets are cut off, so that no caption can hold the id of `<start>`, `<end>` or `<pad>`."""
    tokenizer = fit_tokenizer("<pad> <start> <end> <unk>")
    assert len(tokenizer) == 4 + len({"<", ">", "pad", "start", "end", "unk"})
    (ids,) = tokenizer.encode(["<pad> <start> <end> <unk>"])
    assert (ids[0], ids[-1]) == (START, END)
    assert not {PAD, START, END, UNKNOWN} & set(ids[1:-1].tolist())


def test_ids_of_captions() -> None:
    tokenizer = fit_tokenizer("a a dog")
    ids = tokenizer.encode(["A dog!", "", "cats", "\t \u3000"])
    assert [caption.tolist() for caption in ids] == [[1, 4, 5, 3, 2], [1, 2], [1, 3, 2], [1, 2]]
    assert all(caption.dtype == np.int32 for caption in ids)


def test_an_unfitted_tokenizer_knows_no_word() -> None:
    assert WordTokenizer().encode(["a dog"])[0].tolist() == [START, UNKNOWN, UNKNOWN, END]


def test_files_round_trip(tmp_path: Path) -> None:
    tokenizer = fit_tokenizer('ein süßer \u2028 "Hund" 犬 犬', threshold=1)
    for name, content in tokenizer.to_files().items():
        (tmp_path / name).write_bytes(content)
    read = WordTokenizer.from_files(tmp_path)
    assert read.vocabulary.words == tokenizer.vocabulary.words
    assert read.threshold == 1
    assert read.encode(["süßer 犬 x"])[0].tolist() == tokenizer.encode(["süßer 犬 x"])[0].tolist()


GOOD = {"tokenizer": "nltk-words-lower", "threshold": 4, "words": [*SPECIAL_WORDS, "a"]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"3",
        b"null",
        b"[]",
        json.dumps(GOOD).encode()[:-5],
        *(json.dumps({k: v for k, v in GOOD.items() if k != key}).encode() for key in GOOD),
        *(
            json.dumps({**GOOD, key: value}).encode()
            for key, value in [
                ("tokenizer", "other"),
                ("tokenizer", ["nltk-words-lower"]),
                ("threshold", "4"),
                ("threshold", True),
                ("threshold", 4.5),
                ("words", None),
                ("words", "abcdef"),
                ("words", {"a": 1}),
                ("words", []),
                ("words", ["a", *SPECIAL_WORDS]),
                ("words", [*SPECIAL_WORDS, "a", "a"]),
                ("words", [*SPECIAL_WORDS, "<pad>"]),
                ("words", [*SPECIAL_WORDS, 5]),
                ("words", [*SPECIAL_WORDS, ["a"]]),
                ("words", [*SPECIAL_WORDS, None]),
            ]
        ),
    ],
)
def test_a_damaged_vocabulary_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vocab.json"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        WordTokenizer.from_files(tmp_path)
    assert caught.value.file == str(path)
    assert caught.value.remedy


def test_an_absent_vocabulary_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"vocab\.json: is not a readable vocabulary"):
        WordTokenizer.from_files(tmp_path)


class _VocabularyUnpickler(pickle.Unpickler):
    """Reads the attributes of an object of a class named Vocabulary, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if name == "Vocabulary":
            return type("Vocabulary", (), {})
        raise pickle.UnpicklingError(f"{module}.{name}")


@pytest.mark.skipif(not (SHARED / "data/vocab").is_dir(), reason="VSEZOO_SHARED has no vocabularies")
def test_flickr8k_has_the_vocabulary_that_vsepp_shipped() -> None:
    with (SHARED / "data/vocab/f8k_precomp_vocab.pkl").open("rb") as stream:
        shipped = _VocabularyUnpickler(stream, encoding="utf-8").load()
    files = (SHARED / f"data/f8k_precomp/{split}_caps.txt" for split in ("train", "dev"))
    ours = fit_tokenizer(*(caption for file in files for caption in read_captions(file)), threshold=4)
    words = [word.decode() if isinstance(word, bytes) else word for word in shipped.word2idx]
    assert len(ours) == 3178
    assert sorted(ours.vocabulary.words) == sorted(words)
