"""Words of Chinese by a dictionary, and subwords of a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

from vsezoo.encoders.words import WordTextEncoder
from vsezoo.errors import CheckpointError, RecipeError, VsezooWarning
from vsezoo.text import SPECIAL_WORDS, WordTokenizer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a tokenizer of five pieces, with a special token, which truncates."""
    pieces = {"[UNK]": 0, "[CLS]": 1, "a": 2, "dog": 3, "run": 4, "##ning": 5}
    made = tokenizers.Tokenizer(models.WordPiece(pieces, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    made.enable_truncation(1)
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def make(file: Path | str) -> WordTokenizer:
    return WordTextEncoder.make_tokenizer({"words": "subwords", "subwords": str(file), "vocab_threshold": 1})


def save(tokenizer: WordTokenizer, folder: Path) -> None:
    folder.mkdir()
    for name, content in tokenizer.to_files().items():
        (folder / name).write_bytes(content)


def test_subwords_are_those_of_the_file_which_travels_along(file: Path, tmp_path: Path) -> None:
    tokenizer = make(file)
    assert tokenizer.split(["A dog RUNNING", ""]) == [["a", "dog", "run", "##ning"], []]
    tokenizer.fit(tokenizer.split(["a dog", "running"]))
    assert tokenizer.vocabulary.words == (*SPECIAL_WORDS, "##ning", "a", "dog", "run")
    assert tokenizer.encode(["a dogs running"])[0].tolist() == [1, 5, 3, 7, 4, 2]
    save(tokenizer, tmp_path / "run")
    content = file.read_bytes()
    file.unlink()  # a checkpoint needs no other file
    read = WordTokenizer.from_files(tmp_path / "run")
    assert read.encode(["A dog RUNNING"])[0].tolist() == tokenizer.encode(["A dog RUNNING"])[0].tolist()
    assert read.to_files() == tokenizer.to_files()
    assert read.to_files()["tokenizer.json"] == content
    (tmp_path / "run" / "tokenizer.json").write_bytes(content.replace(b"##ning", b"##nung"))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: has the SHA-256 .*, not that of the vocabulary"):
        WordTokenizer.from_files(tmp_path / "run")


def test_a_checkpoint_names_the_file_without_its_folder() -> None:
    portable = WordTextEncoder.portable_options
    assert portable({"words": "subwords", "subwords": "/home/me/t.json"}) == {"words": "subwords", "subwords": "t.json"}
    assert portable({"words": "nltk"}) == {"words": "nltk"}


def test_what_is_not_a_file_of_subwords(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"version": "1.0"')
    with pytest.raises(RecipeError, match=r"bad\.json: is not a tokenizer: .*\nSet text_encoder.subwords to a tok"):
        make(tmp_path / "bad.json")
    with pytest.raises(RecipeError, match=r"none\.json: cannot be read: No such file"):
        make(tmp_path / "none.json")
    for options in ({"words": "subwords"}, {"subwords": "", "words": "subwords"}):
        with pytest.raises(RecipeError, match="belong together"):
            WordTextEncoder.make_tokenizer(options)


def test_words_without_spaces_by_a_dictionary(tmp_path: Path) -> None:
    pytest.importorskip("rjieba")
    tokenizer = WordTokenizer(1, words="jieba")
    captions = ["红色的圆形在图片里", "两只狗, a Dog's 96"]
    assert tokenizer.split(captions) == [
        ["红色", "的", "圆形", "在", "图片", "里"],
        ["两只", "狗", ",", "a", "dog", "'s", "96"],
    ]
    tokenizer.fit(tokenizer.split(captions))
    save(tokenizer, tmp_path / "run")
    assert WordTokenizer.from_files(tmp_path / "run").to_files() == tokenizer.to_files()
    file = tmp_path / "run" / "vocab.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "package": "rjieba 0.0.1"}))
    with pytest.warns(VsezooWarning, match=r"were cut with rjieba 0\.0\.1, and are now with rjieba "):
        WordTokenizer.from_files(tmp_path / "run")
