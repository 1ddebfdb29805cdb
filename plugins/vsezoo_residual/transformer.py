"""The text encoder with a pretrained transformer: pooled states of its layers, with a perceptron next to W."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vsezoo.encoders.transformer import TransformerTextEncoder
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokens
from vsezoo.recipe.options import AtLeast, Below, Each, OneOf
from vsezoo_residual.residual import Residual


class ResidualTransformerEncoder(TransformerTextEncoder):
    """`g(c) = residual(x)`, then unit L2 norm, with x the pooled hidden states of one or more layers of a transformer.

    The pooled states of each layer are scaled to mean 0 and variance 1 over their numbers, and concatenated.

    Args:
        embed_size: D, the width of the joint embedding.
        pool: how hidden states become one vector: "mean", "cls" or "last", see `hf`.
        layers: which layers, counted from 0, the word embeddings, or from the end: -1 is the last. Lower layers tell
            words apart that the last one takes for alike.
        hidden_size: see `Residual`.
        input_dropout: see `Residual`.
        dropout: see `Residual`.
        **options: the others of `hf`.

    Raises:
        RecipeError: for an invalid option, or a layer that the transformer does not have.
    """

    gives = "vectors"
    finishing: ClassVar[frozenset[str]] = TransformerTextEncoder.finishing | {"hidden_size", "input_dropout", "dropout"}

    def __init__(
        self,
        *,
        embed_size: int,
        pool: Annotated[str, OneOf("cls", "mean", "last")] = "mean",
        layers: Annotated[Sequence[int], Each()] = (-1,),
        hidden_size: Annotated[int, AtLeast(0)] = 512,
        input_dropout: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        dropout: Annotated[float, AtLeast(0), Below(1)] = 0.3,
        **options: Any,
    ) -> None:
        super().__init__(embed_size=embed_size, pool=pool, **options)
        known = self.transformer.config.num_hidden_layers
        for layer in layers:
            if not -known - 1 <= layer <= known:
                raise RecipeError(
                    f"text_encoder.layers has {layer}, and the transformer has the layers 1 to {known}.",
                    file=self.model,
                    remedy="Name those, 0 for the word embeddings, or count from the end: -1 is the last.",
                )
        self.layers = tuple(layers)
        self.fc = nn.Linear(len(self.layers) * self.transformer.config.hidden_size, embed_size)
        self.residual = Residual(self.fc, hidden_size, input_dropout, dropout)

    def is_fixed(self) -> bool:
        """Return whether the transformer is not trained."""
        return not self.finetune

    def extract(self, inputs: Tokens) -> Tensor:
        """Return the pooled hidden states of the layers, `(B, F)`."""
        output, mask, lengths = self.run(inputs, output_hidden_states=True)
        pooled = [self.pool_states(output.hidden_states[layer], mask, lengths).float() for layer in self.layers]
        return torch.cat([functional.layer_norm(states, states.shape[1:]) for states in pooled], dim=1)

    def finish(self, features: Tensor) -> Tensor:
        """Return the joint embeddings `(B, D)` of pooled states `(B, F)`."""
        return self.scale(self.residual(features, self.fc))

    def forward(self, tokens: Tokens) -> Tensor:
        """Return joint embeddings `(B, D)`."""
        return self.finish(self.extract(tokens))
