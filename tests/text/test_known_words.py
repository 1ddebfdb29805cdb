"""The warning when a tokenizer knows no word of most captions."""

from __future__ import annotations

from vsezoo.text import WordTokenizer
from vsezoo.text.known_words import check_known_words

CHINESE = [f"灰色背景上有一个红色的圆形{number}" for number in range(20)]


def fit(captions: list[str], words: str, threshold: int = 4) -> WordTokenizer:
    tokenizer = WordTokenizer(threshold, words=words)
    tokenizer.fit(tokenizer.split(captions))
    return tokenizer


def test_chinese_cut_at_spaces_is_warned_of_and_the_cure_works() -> None:
    warning = check_known_words(fit(CHINESE, "nltk"), CHINESE)
    assert warning.startswith("100% of the training captions")
    assert "--set text_encoder.words=characters" in warning
    assert check_known_words(fit(CHINESE, "characters"), CHINESE) == ""


def test_half_of_the_captions_may_be_unknown() -> None:
    captions = ["a dog"] * 4 + ["b1", "b2", "b3", "b4"]
    assert check_known_words(fit(captions, "nltk"), captions) == ""
    captions.append("b5")
    warning = check_known_words(fit(captions, "nltk"), captions)
    assert warning.startswith("56% ")
    assert "vocab_threshold" in warning
