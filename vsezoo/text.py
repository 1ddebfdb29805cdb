"""Captions as words: the vocabulary, and the word tokenizer of the VSE++ family.

The rule, exactly (VSE++, SCAN and VSRN): a caption is lower-cased and cut by NLTK's word tokenizer, without its
sentence splitter (a line of a caption file is one sentence). A word is in the vocabulary when it occurs at least
`threshold` times in the train and dev captions. Ids 0 to 3 are `<pad>`, `<start>`, `<end>` and `<unk>`; the words
follow, the most frequent first and equals in the order of the alphabet. A caption becomes `<start>` words `<end>`.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from nltk.tokenize import NLTKWordTokenizer

from vsezoo.errors import CheckpointError
from vsezoo.interfaces import Tokenizer
from vsezoo.storage import RESTORE

PAD, START, END, UNKNOWN = range(4)
SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unk>")


class Vocabulary:
    """Words by id and ids by word.

    Args:
        words: in the order of their ids, from 0, the special words included.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}

    @classmethod
    def build(cls, captions: Iterable[Sequence[str]], threshold: int) -> Vocabulary:
        """Collect the words that occur at least `threshold` times in captions cut into words."""
        counts = Counter(word for caption in captions for word in caption)
        kept = sorted((word for word in counts if counts[word] >= threshold), key=lambda word: (-counts[word], word))
        return cls([*SPECIAL_WORDS, *(word for word in kept if word not in SPECIAL_WORDS)])

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        """Tell whether the word has an id of its own."""
        return word in self._ids

    def id_of(self, word: str) -> int:
        """Return the word's id, or that of `<unk>`."""
        return self._ids.get(word, UNKNOWN)


class WordTokenizer(Tokenizer):
    """Words by NLTK's tokenizer, ids by a vocabulary; stored as `vocab.json`.

    Args:
        threshold: how often a word must occur to be in a vocabulary that `fit` builds.
        vocabulary: the words, if they are known already.
    """

    FILE: ClassVar[str] = "vocab.json"
    RULE: ClassVar[str] = "nltk-words-lower"

    def __init__(self, threshold: int = 4, vocabulary: Vocabulary | None = None) -> None:
        self.threshold = threshold
        self.vocabulary = vocabulary or Vocabulary(SPECIAL_WORDS)
        self._nltk = NLTKWordTokenizer()

    def split(self, captions: Sequence[str]) -> list[list[str]]:
        """Cut captions into lower-case words, each word of which is kept once however often it occurs."""
        return [[sys.intern(word) for word in self._nltk.tokenize(caption.lower())] for caption in captions]

    def fit(self, split_captions: Sequence[Sequence[str]]) -> None:
        """Build the vocabulary."""
        self.vocabulary = Vocabulary.build(split_captions, self.threshold)

    def encode_split(self, split_captions: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return `<start>` words `<end>` as ids."""
        ids = self.vocabulary.id_of
        return [np.array([START, *map(ids, words), END], dtype=np.int32) for words in split_captions]

    def to_files(self) -> Mapping[str, bytes]:
        """Return `vocab.json`: the rule, the threshold, and the words in the order of their ids."""
        value = {"tokenizer": self.RULE, "threshold": self.threshold, "words": list(self.vocabulary.words)}
        return {self.FILE: (json.dumps(value, ensure_ascii=False, indent=0) + "\n").encode()}

    @classmethod
    def from_files(cls, folder: Path) -> WordTokenizer:
        """Read `vocab.json`."""
        path = folder / cls.FILE
        try:
            value = json.loads(path.read_bytes())
            rule, threshold, words = value["tokenizer"], value["threshold"], value["words"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise CheckpointError("is not a readable vocabulary.", file=path, remedy=RESTORE) from error
        if rule != cls.RULE:
            raise CheckpointError(f"has the tokenizer {rule!r}, not {cls.RULE!r}.", file=path, remedy=RESTORE)
        strings = isinstance(words, list) and all(isinstance(word, str) for word in words)
        if not strings or tuple(words[:4]) != SPECIAL_WORDS or len(set(words)) != len(words):
            raise CheckpointError(
                f"must list distinct words that begin with {', '.join(SPECIAL_WORDS)}.", file=path, remedy=RESTORE
            )
        if type(threshold) is not int:
            raise CheckpointError("has a threshold that is no whole number.", file=path, remedy=RESTORE)
        return cls(threshold, Vocabulary(words))

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.vocabulary)
