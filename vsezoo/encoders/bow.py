"""Captions as the sum of their word embeddings: the bag of words of Kiros et al. (2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vsezoo.encoders.words import WordTextEncoder
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokenizer, Tokens


class BagOfWordsTextEncoder(WordTextEncoder):
    """`g(c) = Σ_w e_w`, then unit L2 norm; the sum takes in `<eos>`, or `<start>` and `<end>`.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: gives the number of words.
        word_dim: the width of a word embedding, which is that of the joint embedding; 0 says so.
        normalize: scale embeddings to unit L2 norm, as all papers here do.
        use_abs: take absolute values at the end, as order-embeddings do.
        words: how captions are cut into words: "nltk", "split" or "letters", see `vsezoo.text`.
        off_by_two: with "split", count the two rarest words as unknown, as Kiros' release does.
        vocab_threshold: how often a word must occur in the train and dev captions to be in the vocabulary.
        init: "uniform": from U(-0.1, 0.1); "orthogonal": the same, but orthogonal if there are as many words as
            dimensions (Kiros et al. 2014); "torch": from N(0, 1).

    Raises:
        RecipeError: for a value that an option cannot have.
    """

    embed: nn.EmbeddingBag

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: Tokenizer,
        word_dim: int = 0,
        normalize: bool = True,
        use_abs: bool = False,
        words: str = "nltk",
        off_by_two: bool = False,
        vocab_threshold: int = 4,
        init: str = "uniform",
    ) -> None:
        super().__init__(tokenizer, normalize, use_abs, init)
        if word_dim not in (0, embed_size):
            raise RecipeError(
                f"text_encoder.word_dim is {word_dim} and embed_size is {embed_size}; in a bag of words, whose sum is "
                "the joint embedding, they are the same.",
                remedy="Set text_encoder.word_dim=0, which means embed_size, or set embed_size.",
            )
        self.embed = nn.EmbeddingBag(len(tokenizer), embed_size, mode="sum")
        self.init_embedding()

    def forward(self, tokens: Tokens) -> Tensor:
        """Return joint embeddings `(B, D)`."""
        # The padding is cut off, not told by its id, which in some vocabularies is that of a word.
        lengths = tokens.lengths.to(tokens.ids.device)
        positions = torch.arange(tokens.ids.shape[1], device=tokens.ids.device)
        ids = tokens.ids[positions < lengths[:, None]]
        return self.finish(self.embed(ids, lengths.cumsum(0) - lengths))
