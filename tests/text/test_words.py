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
from vsezoo.errors import CheckpointError, RecipeError
from vsezoo.text import END, PAD, RULES, SPECIAL_WORDS, START, UNKNOWN, Vocabulary, WordTokenizer

OF_ENGLISH = [rule for rule in RULES if rule not in ("jieba", "subwords")]  # which need another package, a file
SHARED = Path(os.environ.get("VSEZOO_SHARED", "/nowhere"))


def fit_tokenizer(*captions: str, threshold: int = 1, **options: Any) -> WordTokenizer:
    tokenizer = WordTokenizer(threshold, **options)
    tokenizer.fit(tokenizer.split(captions))
    return tokenizer


@pytest.mark.parametrize("rule", OF_ENGLISH)
@pytest.mark.parametrize("caption", ["A man.", 'Two dogs, a ball and "snow".', "Une fille à vélo", "It's a man's hat"])
def test_captions_read_from_a_file_have_the_tokens_of_the_text(tmp_path: Path, caption: str, rule: str) -> None:
    """Captions taken for bytes have tokens such as `b'a`, which ruined many reproductions under Python 3."""
    file = tmp_path / "train_caps.txt"
    file.write_bytes("\n".join([caption] * 5).encode())
    tokenizer = WordTokenizer(words=rule)
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


@pytest.mark.slow
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


@pytest.mark.parametrize("rule", OF_ENGLISH)
def test_captions_of_which_a_word_is_known(rule: str) -> None:
    tokenizer = fit_tokenizer("a dog", words=rule)
    assert tokenizer.knows("a cat")
    assert not any(map(tokenizer.knows, ["", "cats run", *tokenizer.rule.special]))
    assert not WordTokenizer(words=rule).knows("a dog")


# Tokenized captions: Kiros et al., order-embeddings


def test_ids_of_tokenized_captions_end_in_eos() -> None:
    """Descending frequency, then the alphabet, where capitals come first."""
    tokenizer = fit_tokenizer("a Dog a dog .", "a b .", words="split")
    assert tokenizer.vocabulary.words == ("<eos>", "UNK", "a", ".", "Dog", "b", "dog")
    ids = tokenizer.encode(["a  dog .\n", "cats", "", "DOG Dog\tdog"])
    assert [caption.tolist() for caption in ids] == [[2, 6, 3, 0], [1, 0], [0], [1, 4, 6, 0]]
    assert all(caption.dtype == np.int32 for caption in ids)


def test_special_words_in_a_tokenized_caption_are_unknown() -> None:
    tokenizer = fit_tokenizer("<eos> a UNK <eos>", words="split")
    assert tokenizer.vocabulary.words == ("<eos>", "UNK", "a")
    assert tokenizer.encode(["<eos> a UNK"])[0].tolist() == [1, 2, 1, 0]


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.text("abc \t", max_size=12), max_size=6), st.text("abcd ", max_size=12))
def test_off_by_two_against_the_original_rule(captions: list[str], caption: str) -> None:
    """n_words = len(worddict), words have ids from 2, and an id that is not below n_words becomes 1."""
    exact = fit_tokenizer(*captions, words="split")
    short = fit_tokenizer(*captions, words="split", off_by_two=True)
    assert short.vocabulary.words == exact.vocabulary.words
    n_words = len(exact.vocabulary) - 2
    (ids,) = exact.encode([caption])
    expected = [index if index < max(n_words, 2) else 1 for index in ids.tolist()]
    assert short.encode([caption])[0].tolist() == expected
    assert len(short) == max(n_words, 2)
    assert max(expected) < len(short)


def test_off_by_two_goes_with_split_alone() -> None:
    with pytest.raises(RecipeError, match="off_by_two requires words='split', not 'letters'") as caught:
        WordTokenizer(words="letters", off_by_two=True)
    assert "remove off_by_two" in caught.value.remedy


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"words is 'bytes'; it must be one of nltk, split, letters, characters"):
        WordTokenizer(words="bytes")


# Letters alone: the port to TensorFlow


def test_letters_alone() -> None:
    tokenizer = fit_tokenizer("A man's T-shirt: 2 x 4!", words="letters")
    assert tokenizer.split(["A man's T-shirt: 2 x 4!"]) == [["a", "man's", "tshirt", "x"]]
    assert tokenizer.vocabulary.words == (*SPECIAL_WORDS, "a", "man's", "tshirt", "x")
    ids = tokenizer.encode(["X,a", "x a", "42", ""])
    assert [caption.tolist() for caption in ids] == [[1, 3, 2], [1, 7, 4, 2], [1, 2], [1, 2]]


# Files


@pytest.mark.parametrize(
    "options", [{}, {"words": "letters"}, {"words": "split"}, {"words": "split", "off_by_two": True}]
)
def test_files_round_trip(tmp_path: Path, options: dict[str, Any]) -> None:
    tokenizer = fit_tokenizer('ein süßer \u2028 "Hund" 犬 犬 frisst', threshold=1, **options)
    for name, content in tokenizer.to_files().items():
        (tmp_path / name).write_bytes(content)
    read = WordTokenizer.from_files(tmp_path)
    assert read.vocabulary.words == tokenizer.vocabulary.words
    assert (read.threshold, read.rule, read.off_by_two) == (1, tokenizer.rule, tokenizer.off_by_two)
    assert len(read) == len(tokenizer)
    assert read.encode(["süßer 犬 x ein"])[0].tolist() == tokenizer.encode(["süßer 犬 x ein"])[0].tolist()
    assert read.to_files() == tokenizer.to_files()


def test_the_file_of_nltk_words_is_as_it_was() -> None:
    """Checkpoints of older versions hold this, and nothing about two words fewer."""
    (content,) = fit_tokenizer("a").to_files().values()
    assert json.loads(content) == {"tokenizer": "nltk-words-lower", "threshold": 1, "words": [*SPECIAL_WORDS, "a"]}


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
                ("tokenizer", "split-words"),
                ("off_by_two", True),
                ("off_by_two", 0),
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
@pytest.mark.slow
def test_flickr8k_has_the_vocabulary_that_vsepp_shipped() -> None:
    with (SHARED / "data/vocab/f8k_precomp_vocab.pkl").open("rb") as stream:
        shipped = _VocabularyUnpickler(stream, encoding="utf-8").load()
    files = (SHARED / f"data/f8k_precomp/{split}_caps.txt" for split in ("train", "dev"))
    ours = fit_tokenizer(*(caption for file in files for caption in read_captions(file)), threshold=4)
    words = [word.decode() if isinstance(word, bytes) else word for word in shipped.word2idx]
    assert len(ours) == 3178
    assert sorted(ours.vocabulary.words) == sorted(words)
