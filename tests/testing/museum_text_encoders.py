"""Broken text encoders, each made from a sound one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from museum import exhibit
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.batch import Embeddings
from vsezoo.interfaces import TextEncoder, Tokens
from vsezoo.text import Vocabulary, WordTokenizer


@exhibit()
class SoundTexts(TextEncoder):
    """Nothing is wrong: the mean of word embeddings, then unit norm."""

    words: type[WordTokenizer] = WordTokenizer

    def __init__(self, *, embed_size: int, tokenizer: WordTokenizer, vocab_threshold: int = 4) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.embed = nn.Embedding(len(tokenizer), embed_size)

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> WordTokenizer:
        return cls.words(options.get("vocab_threshold", 4))

    @classmethod
    def read_tokenizer(cls, folder: Path) -> WordTokenizer:
        return cls.words.from_files(folder)

    def mask(self, tokens: Tokens) -> Tensor:
        return (torch.arange(tokens.ids.shape[1]) < tokens.lengths[:, None])[:, :, None]

    def forward(self, tokens: Tokens) -> Tensor:
        return functional.normalize((self.embed(tokens.ids) * self.mask(tokens)).sum(dim=1), dim=-1)


@exhibit()
class SoundWords(SoundTexts):
    """Nothing is wrong: a caption is its word embeddings, where they are asked for."""

    gives = "sets"

    def forward(self, tokens: Tokens) -> Any:
        vectors = super().forward(tokens)
        return Embeddings(vectors, self.embed(tokens.ids), tokens.lengths) if self.keep_items else vectors


@exhibit("gives")
class OtherVectors(SoundWords):
    """The vector hangs on who asks."""

    def forward(self, tokens: Tokens) -> Any:
        output = super().forward(tokens)
        return output.map(lambda rows: 2 * rows) if self.keep_items else output


@exhibit("gives")
class GivesNothing(SoundTexts):
    """Sets are declared, and never come."""

    gives = "sets"


@exhibit("padding")
class ForgetsLengths(SoundWords):
    """All captions have as many words as the longest."""

    def forward(self, tokens: Tokens) -> Any:
        output = super().forward(tokens)
        return Embeddings(output.embeddings, output.items) if self.keep_items else output


class LongIds(WordTokenizer):
    def encode_split(self, split_captions: Any) -> list[np.ndarray]:
        return [ids.astype(np.int64) for ids in super().encode_split(split_captions)]


@exhibit("tokenizer")
class WideIds(SoundTexts):
    """Ids of twice the size."""

    words = LongIds


@exhibit("odd-captions")
class DividesByWords(SoundTexts):
    """An empty caption has no words to divide by."""

    def forward(self, tokens: Tokens) -> Tensor:
        words = (tokens.lengths - 2)[:, None]
        return (self.embed(tokens.ids) * self.mask(tokens)).sum(dim=1) / words


@exhibit("padding")
class CountsPadding(SoundTexts):
    """The padding has a vector, too."""

    def forward(self, tokens: Tokens) -> Tensor:
        return functional.normalize(self.embed(tokens.ids).sum(dim=1), dim=-1)


@exhibit("batch", "padding")
class CentresTexts(SoundTexts):
    """Subtracts the mean of the batch."""

    def forward(self, tokens: Tokens) -> Tensor:
        embeddings = super().forward(tokens)
        return embeddings - 0.1 * embeddings.mean(dim=0)


@exhibit("order", "padding")
class LeavesSorted(SoundTexts):
    """Sorts captions by their lengths, and leaves them so."""

    def forward(self, tokens: Tokens) -> Tensor:
        return super().forward(tokens)[tokens.lengths.argsort(stable=True)]


@exhibit("construction")
class NoTokenizer(SoundTexts):
    """Nothing can be encoded for it."""

    def __init__(self, *, embed_size: int, tokenizer: WordTokenizer) -> None:
        super().__init__(embed_size=embed_size, tokenizer=tokenizer)
        del self.tokenizer


@exhibit("tokenizer", "checkpoint")
class OtherInEval(SoundTexts):
    """Knows the half of its words in eval mode."""

    def train(self, mode: bool = True) -> OtherInEval:
        words = self.tokenizer.vocabulary.words
        if not mode:
            self.tokenizer = WordTokenizer(vocabulary=Vocabulary(words[: len(words) // 2]))
        return super().train(mode)


@exhibit("inputs")
class ChangesLengths(SoundTexts):
    """The lengths are those of the batch, and a loss reads them, too."""

    def forward(self, tokens: Tokens) -> Tensor:
        output = super().forward(tokens)
        tokens.lengths.sub_(1)
        return output
