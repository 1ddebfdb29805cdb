"""Words with a mask: the last of the vocabulary, which size augmentation puts in the place of others (VSE∞)."""

from __future__ import annotations

from collections.abc import Sequence

from vsezoo.text.vocabulary import Vocabulary
from vsezoo.text.words import WordTokenizer

MASK = "<mask>"


class MaskedWordTokenizer(WordTokenizer):
    """A `WordTokenizer` with one word more, `<mask>`, which no caption has."""

    def fit(self, split_captions: Sequence[Sequence[str]]) -> None:
        """Build the vocabulary, and add the mask."""
        super().fit(split_captions)
        self.vocabulary = add_mask(self.vocabulary.words)

    @property
    def mask(self) -> int:
        """The id of the mask; that of unknown words if it has none."""
        index = self.vocabulary.id_of(MASK, self.rule.unknown)
        return index if index < len(self) else self.rule.unknown

    def _id_of(self, word: str) -> int:
        return self.rule.unknown if word == MASK else super()._id_of(word)


def add_mask(words: Sequence[str]) -> Vocabulary:
    """Return the vocabulary of these words and the mask."""
    return Vocabulary([*(word for word in words if word != MASK), MASK])
