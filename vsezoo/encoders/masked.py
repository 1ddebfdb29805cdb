"""A text encoder whose captions change in training: words become a mask, or others, or are left out."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.encoders.augmentation import change_tokens
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.interfaces import Tokens
from vsezoo.recipe.options import AtLeast, Below
from vsezoo.text.masked import MaskedWordTokenizer


class MaskedGRUTextEncoder(GRUTextEncoder):
    """A bidirectional GRU with size augmentation, as in VSE∞ and the codebases derived from it.

    Args:
        tokenizer: determines words and the mask.
        bidirectional: see `gru`.
        size_augmentation: in training, the probability with which each word, `<start>` and `<end>` included, is chosen:
            half of those become `<mask>`, a tenth any word, and 40 % are left out.
        **options: the others of `gru`.
    """

    tokenizer: MaskedWordTokenizer
    tokenizer_class = MaskedWordTokenizer

    def __init__(
        self,
        *,
        tokenizer: MaskedWordTokenizer,
        bidirectional: bool = True,
        size_augmentation: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(tokenizer=tokenizer, bidirectional=bidirectional, **options)
        self.size_augmentation = size_augmentation

    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return joint embeddings `(B, D)`, with `keep_items` also words `(B, L, D)`."""
        if self.training and self.size_augmentation:
            count, mask = len(self.tokenizer), self.tokenizer.mask
            tokens = change_tokens(tokens, self.size_augmentation, mask=mask, count=count)
        return super().forward(tokens)
