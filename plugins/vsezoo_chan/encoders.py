"""The encoders of CHAN (Pan et al. 2023, section 3.1): regions that attend to each other, and words, of unit L2 norm.

The vectors next to the sets, the mean region and the last state, are not in the paper; `vsezoo search` finds its
candidates by them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from vsezoo.batch import Embeddings, RegionSets
from vsezoo.encoders.augmentation import drop_items
from vsezoo.encoders.masked import MaskedGRUTextEncoder
from vsezoo.encoders.precomputed import FeatureImageEncoder, to_sets, unpack_sets
from vsezoo.encoders.scaling import scale_items, scale_rows
from vsezoo.errors import RecipeError
from vsezoo.interfaces import Tokens
from vsezoo.recipe.options import AtLeast, Below, OneOf


class ChanImageEncoder(FeatureImageEncoder):
    """`x_r = W φ_r + b`, then `x + MHA(LN(x))`, then unit L2 norm of each region.

    Args:
        embed_size: D, the width of the joint embedding.
        img_dim: F, the width of a region's feature.
        relation: "self-attention": regions attend to each other, `--precomp_enc_type selfattention` of the original;
            "none": `basic`.
        heads: of the attention, which divide D.
        normalize_items: scale each region to unit L2 norm; False is the original's `--no_imgnorm`.
        size_augmentation: in training, the probability with which each region is left out. As in the original, the
            padding in their place takes part in the attention.

    Raises:
        RecipeError: for heads that do not divide D.
    """

    kinds: ClassVar[tuple[str, ...]] = ("regions",)
    gives = "sets"
    region_order = "invariant"

    def __init__(
        self,
        *,
        embed_size: int,
        img_dim: Annotated[int, AtLeast(1)] = 2048,
        relation: Annotated[str, OneOf("self-attention", "none")] = "self-attention",
        heads: Annotated[int, AtLeast(1)] = 8,
        normalize_items: bool = True,
        size_augmentation: Annotated[float, AtLeast(0), Below(1)] = 0.2,
    ) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim)
        if relation != "none" and embed_size % heads:
            raise RecipeError(
                f"image_encoder.heads is {heads}, which does not divide embed_size={embed_size}.",
                remedy="Choose an embed_size that is a multiple of image_encoder.heads.",
            )
        self.normalize_items, self.size_augmentation = normalize_items, size_augmentation
        self.relation = RegionAttention(embed_size, heads) if relation != "none" else None

    def transform(self, training: bool) -> Callable[[Any], Tensor | RegionSets]:
        """Return a function that converts features to a float32 tensor, or to sets of different sizes."""
        return to_sets

    def forward(self, images: Tensor | RegionSets) -> Embeddings:
        """Return joint embeddings `(B, D)` and regions `(B, R, D)` of features `(B, R, F)`.

        In training, regions are left out, and R is the size of the largest set that is left. Images that have different
        numbers of regions attend to their own alone.
        """
        features, lengths = unpack_sets(images)
        if self.training and self.size_augmentation and features.dim() == 3 and features.shape[1]:
            features, lengths = drop_items(features, self.size_augmentation, lengths=lengths)
        return self.embed(features, lengths, attend_padding=not isinstance(images, RegionSets))

    def embed(self, images: Tensor, lengths: Tensor | None = None, *, attend_padding: bool = True) -> Embeddings:
        """Return what `forward` does of sets of different sizes.

        Args:
            images: features `(B, R, F)`, padded at the end.
            lengths: `(B,)`, how many regions each image has; None: all have R.
            attend_padding: padding takes part in the attention.
        """
        projected = self.project(images, ("images", "regions"))
        absent = None
        if lengths is not None and not attend_padding:
            absent = torch.arange(images.shape[1], device=images.device) >= lengths.to(images.device)[:, None]
        regions = projected if self.relation is None else self.relation(projected, absent).float()
        output = Embeddings(regions.mean(dim=1), regions, lengths)
        output = scale_items(output) if self.normalize_items else output
        if lengths is None:
            return Embeddings(scale_rows(output.regions.mean(dim=1)), output.items)
        mean = (output.regions * output.mask[:, :, None]).sum(dim=1) / output.counts[:, None]
        return Embeddings(scale_rows(mean), output.items, lengths)


class RegionAttention(nn.Module):
    """`x + MHA(LN(x))`, drawn as torch does."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln, self.attn = nn.LayerNorm(width), nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(self, regions: Tensor, absent: Tensor | None = None) -> Tensor:
        """Return related regions `(B, R, D)`; those that are `absent`, `(B, R)` bool, are not attended to."""
        normal = self.ln(regions)
        related: Tensor = self.attn(normal, normal, normal, key_padding_mask=absent, need_weights=False)[0]
        return regions + related


class ChanTextEncoder(MaskedGRUTextEncoder):
    """The states of a bidirectional GRU after each word, averaged over the directions, then unit L2 norm of each word.

    Word embeddings are drawn from U(-r, r), r = √(6 / (words + word_dim)). The published figures have GloVe vectors
    there, which vsezoo does not read.

    Args:
        normalize_items: scale each word to unit L2 norm; False is the original's `--no_txtnorm`.
        **options: those of `MaskedGRUTextEncoder`, with size augmentation.
    """

    def __init__(self, *, normalize_items: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.normalize_items = normalize_items
        nn.init.xavier_uniform_(self.embed.weight)

    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return joint embeddings `(B, D)`, with `keep_items` also words `(B, L, D)`."""
        output = super().forward(tokens)
        return scale_items(output) if self.normalize_items and isinstance(output, Embeddings) else output
