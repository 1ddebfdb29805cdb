"""Words as the Penn Treebank cuts them: by hand, and compared with NLTK."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import LETTERS

from vsezoo.text.treebank import split_words

SHARED = Path(os.environ.get("VSEZOO_SHARED", "/nowhere"))

BY_HAND = {
    "": "",
    "a dog": "a dog",
    "A dog runs .": "A dog runs .",
    "a dog.\n": "a dog .",
    "Mr. Hat waits.": "Mr. Hat waits .",
    "one... two": "one ... two",
    "a man (it's his hat.)": "a man ( it 's his hat . )",
    "3.50 and 1,000; 4:30, not 4: no": "3.50 and 1,000 ; 4:30 , not 4 : no",
    "a,, b": "a , , b",
    "a,,b": "a , ,b",
    "they can't, won't, I'd, you'LL": "they ca n't , wo n't , I 'd , you 'LL",
    "cannot gonna GOTTA gimme lemme wanna go": "can not gon na GOT TA gim me lem me wan na go",
    "i wanna.": "i wan na .",
    "wanna-be": "wanna-be",
    "d'ye want more'n 'tis, 'twas": "d 'ye want more 'n ' tis , ' twas",
    "cannot'tis": "can not 't is",
    "\"a\" (''b'') [\"c\"]": "`` a '' ( `` b '' ) [ `` c '' ]",
    "``a'' ```b": "`` a '' `` ` b",
    "the 'red' dogs' slip n 'slide": "the ' red ' dogs ' slip n ' slide",
    "a's'": "a's '",
    "«x» “y” ‘z’ „w": "« x » “ y ” ‘ z ’ „ w",
    "a--b - c-d –e": "a -- b - c-d – e",
    "*$5*#7&8%@a!?": "* $ 5 * # 7 & 8 % @ a ! ?",
    "a\u3000b\tc": "a b c",
}
"""Sentences, and their words with a space between them."""

PIECES = [
    *"aBs5_ \n\t\x1c\u3000.,:;?!-–()[]{}<>*$&'\"`«”‘\u0301ſİе",
    *("''", "``", "..", "--", "'s", "'ll", "'RE", "n't", "N'T", "cannot", "'tis", "'twas", "wanna", "d'ye", "more'n"),
    *("gimme", "gonna", "gotta", "lemme", "not", "can", "me", "dog"),
]
"""What the rules look for, and what is nearly that."""


@pytest.fixture(scope="module")
def nltk() -> Any:
    """NLTK's tokenizer, imported without the rest of NLTK's libraries, which are most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("scipy", "sklearn"):
            if name not in sys.modules:
                patch.setitem(sys.modules, name, None)
        return importlib.import_module("nltk.tokenize").NLTKWordTokenizer()


@pytest.fixture(scope="module")
def plain(nltk: Any) -> Any:
    """NLTK's rules with Python's regular expressions, whatever this version of NLTK has them compiled with."""
    tokenizer = type(nltk)()
    for name in ("STARTING_QUOTES", "PUNCTUATION", "ENDING_QUOTES"):
        setattr(tokenizer, name, [(re.compile(pattern.pattern), text) for pattern, text in getattr(nltk, name)])
    for name in ("PARENS_BRACKETS", "DOUBLE_DASHES"):
        pattern, text = getattr(nltk, name)
        setattr(tokenizer, name, (re.compile(pattern.pattern), text))
    return tokenizer


@pytest.mark.parametrize("sentence", BY_HAND)
def test_words_by_hand(sentence: str) -> None:
    assert split_words(sentence) == BY_HAND[sentence].split(" " if sentence else None)


def test_words_by_hand_are_those_of_nltk(nltk: Any) -> None:
    assert {sentence: split_words(sentence) for sentence in BY_HAND} == {
        sentence: nltk.tokenize(sentence) for sentence in BY_HAND
    }


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text(LETTERS, max_size=14))
def test_any_text_has_the_words_of_the_rules_of_nltk(plain: Any, text: str) -> None:
    assert split_words(text) == plain.tokenize(text)


def is_ordinary(character: str) -> bool:
    """Tell whether `re` and the package `regex` see the same kind of character."""
    return all((re.match(kind, character) is None) == (regex.match(kind, character) is None) for kind in (r"\w", r"\s"))


@pytest.mark.slow
@settings(deadline=None, max_examples=100)
@given(st.text(st.characters(max_codepoint=0x24F).filter(is_ordinary), max_size=20))
def test_latin_text_has_the_words_of_nltk(nltk: Any, text: str) -> None:
    assert split_words(text) == nltk.tokenize(text)


@pytest.mark.skipif(not (SHARED / "data/flickr8k").is_dir(), reason="VSEZOO_SHARED has no Flickr8K")
@pytest.mark.slow
def test_captions_of_flickr8k_have_the_words_of_nltk(nltk: Any) -> None:
    """Every twentieth; all of them, 16 s, were the same when this was written."""
    lines = (SHARED / "data/flickr8k/Flickr8k.token.txt").read_text(encoding="utf-8").splitlines()[::20]
    captions = [caption for line in lines for caption in (line.split("\t", 1)[1], line.split("\t", 1)[1].lower())]
    assert len(captions) == 2 * 2_023
    assert [caption for caption in captions if split_words(caption) != nltk.tokenize(caption)] == []


@pytest.mark.process
def test_nltk_is_not_imported() -> None:
    program = (
        "import sys; sys.modules['nltk'] = None; from vsezoo.text import RULES; print(RULES['nltk'].cut('A dog.'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['a', 'dog', '.']\n"
