"""NLTK's tokenizer without NLTK: the same words, and NLTK itself is left alone."""

from __future__ import annotations

import subprocess
import sys

import pytest
from nltk.tokenize import NLTKWordTokenizer

from vsezoo.nltk_words import split_words

SENTENCES = (
    "a dog's hat, isn't it.",
    'she said "go" -- and went...',
    "it cost $3.50 (cheap!); can't you see?",
    "l'été à 5%; gonna, cannot",
    "",
)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_words_are_those_of_nltk(sentence: str) -> None:
    assert split_words(sentence) == NLTKWordTokenizer().tokenize(sentence)


def test_it_works_before_nltk_is_imported_and_leaves_nltk_whole() -> None:
    program = (
        "import sys\n"
        "from vsezoo.nltk_words import split_words\n"
        f"words = [split_words(text) for text in {SENTENCES!r}]\n"
        "assert not [name for name in sys.modules if name.startswith('nltk')]\n"
        "import nltk\n"
        "assert nltk.__version__ and nltk.tokenize.word_tokenize\n"
        f"assert words == [nltk.tokenize.NLTKWordTokenizer().tokenize(text) for text in {SENTENCES!r}]\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
