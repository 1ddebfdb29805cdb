"""The encoders of SCAN (Lee et al. 2018, sections 3.2 and 3.3): sets of regions and words, each of unit L2 norm.

They differ from `regions` and `gru` in what they give as a set: every region and every word is scaled. The vectors
that accompany the sets, the mean region and the last state, are not in the paper; `vsezoo search` finds its candidates
by them.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from vsezoo.batch import Embeddings, RegionSets
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.encoders.regions import RegionImageEncoder
from vsezoo.encoders.scaling import scale_items
from vsezoo.interfaces import Tokens


class ScanImageEncoder(RegionImageEncoder):
    """`v_r = W φ_r + b`, then unit L2 norm of each region (equation 9).

    Args:
        normalize_items: scale each region to unit L2 norm; False is SCAN's `--no_imgnorm`.
        weight_norm: W = g V / ‖V‖_F with one scalar g, SCAN's `--precomp_enc_type weight_norm`.
        **options: those of `regions`.
    """

    def __init__(self, *, normalize_items: bool = True, weight_norm: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.normalize_items = normalize_items
        if weight_norm:
            nn.utils.parametrizations.weight_norm(self.fc, dim=None)  # type: ignore[arg-type]  # None: one norm for all

    def forward(self, images: Tensor | RegionSets) -> Embeddings:
        """Return joint embeddings `(B, D)` and regions `(B, R, D)` of features `(B, R, F)`."""
        return scale_items(super().forward(images)) if self.normalize_items else super().forward(images)


class ScanTextEncoder(GRUTextEncoder):
    """The states of a GRU after each word, both directions averaged, then unit L2 norm of each word (equation 11).

    Args:
        normalize_items: scale each word to unit L2 norm; False is SCAN's `--no_txtnorm`.
        **options: those of `gru`.
    """

    def __init__(self, *, normalize_items: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.normalize_items = normalize_items

    def forward(self, tokens: Tokens) -> Tensor | Embeddings:
        """Return joint embeddings `(B, D)`, with `keep_items` also words `(B, L, D)`."""
        output = super().forward(tokens)
        return scale_items(output) if self.normalize_items and isinstance(output, Embeddings) else output
