"""Scripts without spaces between words: Chinese, Japanese, Thai and others."""

from __future__ import annotations

import re
from collections.abc import Iterable

from vsezoo.text.treebank import split_words

UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
"""A character of Thai, Lao, Burmese, Khmer, of kana, or a Han character."""


def split_characters(text: str) -> list[str]:
    """Split text into words; each character of a script without spaces is a word."""
    return split_words(UNSPACED.sub(r" \g<0> ", text))


def is_unspaced(captions: Iterable[str]) -> bool:
    """Return whether at least half of the captions consist mostly of letters of such scripts."""
    counts = [2 * len(UNSPACED.findall(caption)) > sum(map(str.isalpha, caption)) for caption in captions]
    return bool(counts) and 2 * sum(counts) >= len(counts)
