"""Words of Chinese, which is written without spaces, found with a dictionary."""

from __future__ import annotations

import re

from vsezoo.errors import require_package
from vsezoo.text.treebank import split_words

PACKAGE = "rjieba"
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


def split_chinese(text: str) -> list[str]:
    """Split text into words: runs of Han characters as jieba does, the rest as English.

    Raises:
        MissingPackageError: without rjieba.
    """
    jieba = require_package(PACKAGE, "Cutting captions with words=jieba")
    return split_words(HAN.sub(lambda run: f" {' '.join(jieba.cut(run[0]))} ", text))
