"""The text encoder without anything pretrained: a bag of words through a linear layer and a parallel perceptron."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from vsezoo.encoders.words import WordTextEncoder
from vsezoo.interfaces import Tokenizer, Tokens
from vsezoo.recipe.options import AtLeast, Below
from vsezoo_residual.residual import Residual


class ResidualBagOfWordsEncoder(WordTextEncoder):
    """`g(c) = residual(Σ_w e_w / √L)` of the L words of a caption, special ones included, then unit L2 norm.

    Args:
        embed_size: D, the width of the joint embedding.
        tokenizer: determines the number of words.
        word_dim: the width of a word embedding.
        hidden_size: see `Residual`.
        input_dropout: see `Residual`.
        dropout: see `Residual`.
        word_dropout: in training, the probability with which each word is left out.
        **of_words: the other options of `WordTextEncoder`; its `init` is that of `bow`.

    Raises:
        RecipeError: for an invalid option.
    """

    gives = "vectors"
    embed: nn.EmbeddingBag

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: Tokenizer,
        word_dim: Annotated[int, AtLeast(1)] = 300,
        hidden_size: Annotated[int, AtLeast(0)] = 512,
        input_dropout: Annotated[float, AtLeast(0), Below(1)] = 0.3,
        dropout: Annotated[float, AtLeast(0), Below(1)] = 0.3,
        word_dropout: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        **of_words: Any,
    ) -> None:
        super().__init__(tokenizer=tokenizer, **of_words)
        self.word_dropout = word_dropout
        self.embed = nn.EmbeddingBag(len(tokenizer), word_dim, mode="sum")
        self.init_embedding()
        self.fc = nn.Linear(word_dim, embed_size)
        self.residual = Residual(self.fc, hidden_size, input_dropout, dropout)

    def forward(self, tokens: Tokens) -> Tensor:
        """Return joint embeddings `(B, D)`."""
        lengths = tokens.lengths.to(tokens.ids.device)
        kept = torch.arange(tokens.ids.shape[1], device=tokens.ids.device) < lengths[:, None]
        if self.training and self.word_dropout:
            kept &= torch.rand(kept.shape, device=kept.device) >= self.word_dropout
        counts = kept.sum(dim=1)
        sums = self.embed(tokens.ids[kept], counts.cumsum(0) - counts)
        return self.finish(self.residual(sums / lengths.sqrt()[:, None], self.fc))
