"""PCME++ on given features: regions or cells of a grid, and words by a bidirectional GRU.

The paper trains on pictures alone. These have its two heads for each side, on the encoders of VSE++ with regions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from vsezoo.batch import Embeddings, RegionSets
from vsezoo.encoders.augmentation import change_tokens, drop_items
from vsezoo.encoders.pooling import POOLINGS
from vsezoo.encoders.precomputed import FeatureImageEncoder, to_sets, unpack_sets
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.interfaces import Tokens
from vsezoo.recipe.options import AtLeast, Below, OneOf
from vsezoo.text import WordTokenizer
from vsezoo_pcmepp.heads import Head, join


class PCMEPPRegionEncoder(FeatureImageEncoder):
    """`μ = pool_r(W φ_r + b)` with unit L2 norm, and `log σ² = pool_r(W' φ_r + b')`.

    Args:
        embed_size: D.
        img_dim: F, the width of a feature.
        pool: how regions become one; see `regions`.
        size_augmentation: in training, the largest share of regions to leave out; see `drop_items`.
        log_variance_bias: b' at first. At 0, the uncertainty starts at about D.
        center: see `regions`.
    """

    kinds: ClassVar[tuple[str, ...]] = ("regions",)
    region_order = "invariant"
    gives = "vectors"
    uncertain = True

    def __init__(
        self,
        *,
        embed_size: int,
        img_dim: Annotated[int, AtLeast(1)] = 2048,
        pool: Annotated[str, OneOf(*POOLINGS)] = "gpo",
        size_augmentation: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        log_variance_bias: float = 0.0,
        center: bool = False,
    ) -> None:
        super().__init__(embed_size=embed_size, img_dim=img_dim, center=center)
        self.pooling, self.size_augmentation = POOLINGS[pool](), size_augmentation
        self.variance_head = Head(img_dim, embed_size, pool, bias=log_variance_bias)

    def transform(self, training: bool) -> Callable[[Any], Tensor | RegionSets]:
        """Return a function that converts features to a float32 tensor, or to sets of different sizes."""
        return to_sets

    def forward(self, images: Tensor | RegionSets) -> Embeddings:
        """Return probabilistic embeddings `(B, D + 1)` of features `(B, R, F)`."""
        features, lengths = unpack_sets(images)
        if self.training and self.size_augmentation and features.dim() == 3 and features.shape[1]:
            features, lengths = drop_items(features, self.size_augmentation, vary=True, lengths=lengths)
        mean = self.pooling(self.project(features, ("images", "regions")), lengths)
        centred = features - self.mean if self.center else features
        return join(mean, self.variance_head(centred, lengths))


class PCMEPPTextEncoder(GRUTextEncoder):
    """`μ = pool_l(h_l)` of the states h of a GRU with unit L2 norm, and `log σ² = pool_l(W' h_l + b')`.

    Args:
        embed_size: D.
        tokenizer: gives the words.
        bidirectional: see `gru`.
        pool: how words become one; see `gru`.
        size_augmentation: in training, the probability with which each word, but for `<start>` and `<end>`, is chosen:
            half of those become `<unk>`, a tenth any word, and 40 % are left out.
        log_variance_bias: b' at first.
        **options: the others of `gru`.
    """

    tokenizer: WordTokenizer
    gives = "vectors"
    uncertain = True

    def __init__(
        self,
        *,
        embed_size: int,
        tokenizer: WordTokenizer,
        bidirectional: bool = True,
        pool: Annotated[str, OneOf(*POOLINGS)] = "gpo",
        size_augmentation: Annotated[float, AtLeast(0), Below(1)] = 0.2,
        log_variance_bias: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(embed_size=embed_size, tokenizer=tokenizer, bidirectional=bidirectional, pool=pool, **options)
        self.size_augmentation = size_augmentation
        self.variance_head = Head(embed_size, embed_size, pool, xavier=False, bias=log_variance_bias)

    def forward(self, tokens: Tokens) -> Embeddings:
        """Return probabilistic embeddings `(B, D + 1)`."""
        rule = self.tokenizer.rule
        if self.training and self.size_augmentation:
            marks = torch.tensor([*rule.start, *rule.end], device=tokens.ids.device)
            tokens = change_tokens(
                tokens,
                self.size_augmentation,
                mask=rule.unknown,
                count=len(self.tokenizer),
                fixed=torch.isin(tokens.ids, marks),
            )
        words, lengths = self.read_items(tokens)
        assert self.pooling is not None, "it has no other"
        return join(self.pooling(words, lengths), self.variance_head(words, lengths))
