"""Captions in scripts without spaces between words."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsezoo.text import WordTokenizer, is_unspaced
from vsezoo.text.scripts import split_characters
from vsezoo.text.treebank import split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("两只狗在雪地里", list("两只狗在雪地里")),
        ("红色的圆形在图片里96", [*"红色的圆形在图片里", "96"]),
        ("イヌ dogs, 2匹", ["イ", "ヌ", "dogs", ",", "2", "匹"]),
        ("สุนัข", list("สุนัข")),
        ("개 두 마리", ["개", "두", "마리"]),  # Korean has spaces
        ("a dog isn't here.", ["a", "dog", "is", "n't", "here", "."]),
    ],
)
def test_each_character_of_such_a_script_is_a_word(text: str, words: list[str]) -> None:
    assert split_characters(text) == words


def test_text_with_spaces_is_cut_as_before() -> None:
    text = "Two dogs (both brown) can't see the man's hat..."
    assert split_characters(text) == split_words(text)


def test_the_rule_travels_in_the_checkpoint(tmp_path: Path) -> None:
    tokenizer = WordTokenizer(1, words="characters")
    tokenizer.fit(tokenizer.split(["狗 RUNS"]))
    for name, content in tokenizer.to_files().items():
        (tmp_path / name).write_bytes(content)
    read = WordTokenizer.from_files(tmp_path)
    assert read.rule.name == "character-words-lower"
    assert [ids.tolist() for ids in read.encode(["狗狗 runs 猫"])] == [
        ids.tolist() for ids in tokenizer.encode(["狗狗 runs 猫"])
    ]
    assert len(read.encode(["狗狗 runs 猫"])[0]) == 6


@pytest.mark.parametrize(
    ("captions", "answer"),
    [(["两只狗", "a dog"], True), (["a dog 狗", "one", "两"], False), ([], False), (["123"], False)],
)
def test_which_captions_are_in_such_a_script(captions: list[str], answer: bool) -> None:
    assert is_unspaced(captions) is answer
