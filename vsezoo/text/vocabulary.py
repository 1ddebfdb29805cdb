"""Words and their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

PAD, START, END, UNKNOWN = range(4)
SPECIAL_WORDS = ("<pad>", "<start>", "<end>", "<unk>")


class Vocabulary:
    """Words by id and ids by word.

    Args:
        words: words in the order of their ids, from 0, including the special words.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._ids = {word: index for index, word in enumerate(self.words)}

    @classmethod
    def build(
        cls, captions: Iterable[Sequence[str]], threshold: int, special: Sequence[str] = SPECIAL_WORDS
    ) -> Vocabulary:
        """Collect the words that occur at least `threshold` times in tokenised captions."""
        counts = Counter(word for caption in captions for word in caption)
        kept = sorted((word for word in counts if counts[word] >= threshold), key=lambda word: (-counts[word], word))
        return cls([*special, *(word for word in kept if word not in special)])

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        """Return whether the word is in the vocabulary."""
        return word in self._ids

    def id_of(self, word: str, unknown: int = UNKNOWN) -> int:
        """Return the word's id, or that of unknown words."""
        return self._ids.get(word, unknown)
