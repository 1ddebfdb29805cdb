"""The text encoders of VSE∞ (Chen et al. 2021): a bidirectional GRU, or BERT, and GPO over words or tokens."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from tokenizers import models
from torch import Tensor

from vsezoo.batch import Embeddings
from vsezoo.encoders.augmentation import change_tokens
from vsezoo.encoders.masked import MaskedGRUTextEncoder
from vsezoo.encoders.pooling import POOLINGS
from vsezoo.encoders.transformer import TransformerTextEncoder
from vsezoo.encoders.transformer_tokenizer import TransformerTokenizer
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokens
from vsezoo.recipe.options import Above, AtLeast, Below, OneOf

MASKS = ("[MASK]", "<mask>")
"""What pretrained tokenizers call the mask."""


class VSEInftyTextEncoder(MaskedGRUTextEncoder):
    """GPO over the states of a bidirectional GRU, both directions averaged, then unit L2 norm.

    Args:
        pool: see `gru`.
        **options: those of `MaskedGRUTextEncoder`, with size augmentation.
    """

    def __init__(self, *, pool: Annotated[str, OneOf("last", *POOLINGS)] = "gpo", **options: Any) -> None:
        super().__init__(pool=pool, **options)


class VSEInftyTransformerEncoder(TransformerTextEncoder):
    """GPO over `W h_l + b` of the last hidden states of BERT, `[CLS]` to `[SEP]`, then unit L2 norm.

    Args:
        tokenizer: gives the configuration of the transformer.
        pool: see `hf`.
        finetune: see `hf`.
        learning_rate_scale: see `hf`.
        size_augmentation: in training, the probability with which each word is chosen, its pieces together: half of
            those become `[MASK]`, a tenth any pieces, and 40 % are left out.
        **options: the others of `hf`.

    Raises:
        RecipeError: for a tokenizer without a mask, unless `size_augmentation` is 0.
    """

    continues: Tensor

    def __init__(
        self,
        *,
        tokenizer: TransformerTokenizer,
        pool: Annotated[str, OneOf("cls", "mean", "last", "max", "gpo")] = "gpo",
        finetune: bool = True,
        learning_rate_scale: Annotated[float, Above(0)] = 0.1,
        size_augmentation: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        **options: Any,
    ) -> None:
        super().__init__(
            tokenizer=tokenizer, pool=pool, finetune=finetune, learning_rate_scale=learning_rate_scale, **options
        )
        self.fc.reset_parameters()  # drawn as torch does
        self.size_augmentation, pieces = size_augmentation, tokenizer.pieces
        self.mask = next((found for name in MASKS if (found := pieces.token_to_id(name)) is not None), None)
        if self.mask is None and size_augmentation:
            raise RecipeError(
                "text_encoder.size_augmentation needs a mask, which the tokenizer of "
                f"{self.model or 'the pretrained model'} does not have.",
                remedy="Set text_encoder.size_augmentation=0, or take another model.",
            )
        self.marks = pieces.encode("").ids
        prefix = getattr(pieces.model, "continuing_subword_prefix", None)
        if isinstance(pieces.model, models.WordPiece) and prefix:
            inside = [index for piece, index in pieces.get_vocab().items() if piece.startswith(prefix)]
        else:  # each piece is a word of its own
            inside = []
        self.register_buffer("continues", torch.zeros(len(tokenizer), dtype=torch.bool), persistent=False)
        self.continues[inside] = True

    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return joint embeddings `(B, D)`, with `keep_items` also those of the tokens, `(B, L, D)`."""
        if self.training and self.size_augmentation and self.mask is not None:
            tokens = change_tokens(
                tokens,
                self.size_augmentation,
                mask=self.mask,
                count=len(self.tokenizer),
                fixed=torch.isin(tokens.ids, torch.tensor(self.marks, device=tokens.ids.device)),
                continues=self.continues[tokens.ids],
            )
        return super().forward(tokens)
