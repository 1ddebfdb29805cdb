"""Captions by a GRU over word embeddings (Kiros et al. 2014; VSE++)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

from vsezoo.encoders.recurrence import run_gru
from vsezoo.interfaces import TextEncoder, Tokenizer, Tokens
from vsezoo.text import WordTokenizer


class GRUTextEncoder(TextEncoder):
    """`g(c) = ` the GRU's state after the last word, then unit L2 norm (Faghri et al. 2018, section 3.1).

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: gives the number of words.
        word_dim: the width of a word embedding, initialised from U(-0.1, 0.1).
        num_layers: of the GRU, initialised as torch does.
        use_abs: take absolute values at the end, as order-embeddings do.
        vocab_threshold: how often a word must occur in the train and dev captions to be in the vocabulary.
    """

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: Tokenizer,
        word_dim: int = 300,
        num_layers: int = 1,
        use_abs: bool = False,
        vocab_threshold: int = 4,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.use_abs = use_abs
        self.embed = nn.Embedding(len(tokenizer), word_dim)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        self.rnn = nn.GRU(word_dim, embed_size, num_layers, batch_first=True)

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> WordTokenizer:
        """Return the word tokenizer of the VSE++ family."""
        return WordTokenizer(options.get("vocab_threshold", 4))

    @classmethod
    def read_tokenizer(cls, folder: Path) -> WordTokenizer:
        """Read `vocab.json`."""
        return WordTokenizer.from_files(folder)

    def forward(self, tokens: Tokens) -> Tensor:
        """Return joint embeddings `(B, D)`."""
        words = self.embed(tokens.ids)
        packed = pack_padded_sequence(words, tokens.lengths, batch_first=True, enforce_sorted=False)
        # In float32 also under autocast: eight bits of mantissa would blur the cosines.
        embeddings = functional.normalize(run_gru(self.rnn, packed), dim=-1)
        return embeddings.abs() if self.use_abs else embeddings
