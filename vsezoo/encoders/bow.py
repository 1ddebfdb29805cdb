"""Text encoder: the sum of word embeddings, the bag of words of Kiros et al. (2014)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vsezoo.encoders.words import WordTextEncoder
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokenizer, Tokens


class BagOfWordsTextEncoder(WordTextEncoder):
    """`g(c) = Σ_w e_w`, then unit L2 norm; the sum includes `<eos>`, or `<start>` and `<end>`.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: determines the number of words.
        word_dim: the width of a word embedding, which must be that of the joint embedding; 0 means `embed_size`.
        init: initialisation of word embeddings. "uniform": U(-0.1, 0.1); "orthogonal": the same, but orthogonal if
            there are as many words as dimensions (Kiros et al. 2014); "torch": N(0, 1).
        **of_words: the other options of `WordTextEncoder`.

    Raises:
        RecipeError: for an invalid option.
    """

    embed: nn.EmbeddingBag

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: Tokenizer,
        word_dim: int = 0,
        **of_words: Any,
    ) -> None:
        super().__init__(tokenizer=tokenizer, **of_words)
        if word_dim not in (0, embed_size):
            raise RecipeError(
                f"text_encoder.word_dim is {word_dim} and embed_size is {embed_size}; in a bag of words, "
                "they must be equal.",
                remedy="Set text_encoder.word_dim=0, which means embed_size, or set embed_size.",
            )
        self.embed = nn.EmbeddingBag(len(tokenizer), embed_size, mode="sum")
        self.init_embedding()

    def forward(self, tokens: Tokens) -> Tensor:
        """Return joint embeddings `(B, D)`."""
        # Padding is cut off by length, not by its id, which in some vocabularies is that of a word.
        lengths = tokens.lengths.to(tokens.ids.device)
        positions = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
        ids = tokens.ids[positions < lengths[:, None]]
        return self.finish(self.embed(ids, lengths.cumsum(0) - lengths))
