"""The base of text encoders on word embeddings: `gru`, `lstm` and `bow`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.interfaces import TextEncoder, Tokenizer
from vsezoo.recipe.options import OneOf
from vsezoo.text import RULES, WordTokenizer, read_subwords


class WordTextEncoder(TextEncoder):
    """Word embeddings, reduced to one vector by a subclass, then unit L2 norm.

    Args:
        tokenizer: determines the number of words.
        normalize: scale embeddings to unit L2 norm, as in all papers here.
        use_abs: take absolute values at the end, as in order-embeddings.
        words: how captions are tokenised, see `vsezoo.text`.
        subwords: with words=subwords, a tokenizer.json; the checkpoint contains it.
        off_by_two: with "split", treat the two rarest words as unknown, as Kiros' release does.
        vocab_threshold: minimum occurrences of a word in the train and dev captions to be in the vocabulary.
        init: initialisation of the weights, see the subclass.

    Attributes:
        tokenizer_class: the class of the tokenizer.

    Raises:
        RecipeError: for an invalid option.
    """

    embed: nn.Embedding | nn.EmbeddingBag
    tokenizer_class: type[WordTokenizer] = WordTokenizer

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        normalize: bool = True,
        use_abs: bool = False,
        words: Annotated[str, OneOf(*RULES)] = "nltk",
        subwords: str = "",
        off_by_two: bool = False,
        vocab_threshold: int = 4,
        init: Annotated[str, OneOf("uniform", "orthogonal", "torch")] = "uniform",
    ) -> None:
        super().__init__()
        self.tokenizer, self.normalize, self.use_abs, self.init = tokenizer, normalize, use_abs, init

    @classmethod
    def make_tokenizer(cls, options: Mapping[str, Any]) -> WordTokenizer:
        """Return the tokenizer of the options `words`, `off_by_two` and `vocab_threshold`."""
        return cls.tokenizer_class(
            options.get("vocab_threshold", 4),
            words=options.get("words", "nltk"),
            off_by_two=options.get("off_by_two", False),
            subwords=read_subwords(options),
        )

    @classmethod
    def read_tokenizer(cls, folder: Path) -> WordTokenizer:
        """Load `vocab.json`."""
        return cls.tokenizer_class.from_files(folder)

    @classmethod
    def portable_options(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options, with a file of subwords reduced to its name."""
        return {**options, **({"subwords": Path(options["subwords"]).name} if options.get("subwords") else {})}

    def init_embedding(self) -> None:
        """Initialise the word embeddings; torch has drawn them from N(0, 1)."""
        if self.init == "uniform":
            nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        elif self.init == "orthogonal":
            init_block(self.embed.weight)

    def finish(self, states: Tensor) -> Tensor:
        """Return joint embeddings `(B, D)` of captions `(B, D)`, float32; zeros stay zeros."""
        embeddings = functional.normalize(states, dim=-1) if self.normalize else states
        return embeddings.abs() if self.use_abs else embeddings


@torch.no_grad()
def init_block(weight: Tensor) -> None:
    """Initialise a matrix like Kiros et al. (2014): orthogonal if it is square, else from U(-0.1, 0.1)."""
    if weight.shape[0] == weight.shape[1]:
        nn.init.orthogonal_(weight)
    else:
        nn.init.uniform_(weight, -0.1, 0.1)
