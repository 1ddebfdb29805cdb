"""Size augmentation (Chen et al. 2021, VSE∞): in training, sets lose items at random, and captions change words.

Random numbers come from torch's global generator, so that a resumed run draws the same ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vsezoo.interfaces import Tokens

MASKED, REPLACED = 0.5, 0.6
"""Of the chosen tokens, half become the mask and a tenth any token; the others are removed."""


def drop_items(
    items: Tensor, rate: float, *, vary: bool = False, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Drop items of sets; the rest stay in order, followed by zero padding.

    A set that would lose all items keeps all; the original code does not handle it.

    Args:
        items: `(B, K, F)`.
        rate: probability of dropping an item.
        vary: use the rate `rate · u` with a number u of (0, 1) for each set, and keep a set whole if u is `rate` or
            less, as VSE∞ does with the cells of a grid and PCME++ with image tokens.
        lengths: `(B,)`, how many items each set has; None: all have K.

    Returns:
        items `(B, K', F)` with K' the size of the largest set, and sizes `(B,)`.
    """
    drawn = torch.rand(items.shape[:2], device=items.device)
    rates = torch.full((len(items), 1), rate, device=items.device)
    if vary:
        rates = torch.rand(len(items), 1, device=items.device)
        rates = torch.where(rates > rate, rate * rates, 0)
    kept, present = drawn >= rates, torch.ones(items.shape[:2], dtype=torch.bool, device=items.device)
    if lengths is not None:
        present = torch.arange(items.shape[1], device=items.device) < lengths.to(items.device)[:, None]
    kept &= present
    kept |= present & ~kept.any(dim=1, keepdim=True)
    return _compact(items, kept)


def change_tokens(
    tokens: Tokens,
    rate: float,
    *,
    mask: int,
    count: int,
    fixed: Tensor | None = None,
    continues: Tensor | None = None,
) -> Tokens:
    """Change words of captions: of the chosen ones half become the mask, a tenth any token, and 40 % are removed.

    A caption that would lose all tokens keeps all; the original code fails there.

    Args:
        tokens: tokens of the captions.
        rate: probability of choosing a word.
        mask: id of the mask.
        count: number of ids, of which any is drawn.
        fixed: `(B, L)` bool, tokens that never change.
        continues: `(B, L)` bool, tokens that are treated like the one before, such as pieces of one word.
    """
    ids, lengths = tokens.ids, tokens.lengths.to(tokens.ids.device)
    present = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    drawn = torch.rand(ids.shape, device=ids.device)
    if continues is not None:
        first = torch.arange(ids.shape[1], device=ids.device).masked_fill(continues, 0).cummax(dim=1).values
        drawn = drawn.gather(1, first)
    chosen = (drawn < rate) & present
    if fixed is not None:
        chosen &= ~fixed
    share = drawn / rate
    others = torch.randint(count, ids.shape, device=ids.device)
    changed = torch.where(chosen & (share < MASKED), mask, ids)
    changed = torch.where(chosen & (share >= MASKED) & (share < REPLACED), others, changed)
    kept = present & ~(chosen & (share >= REPLACED))
    kept |= present & ~kept.any(dim=1, keepdim=True)
    changed, lengths = _compact(changed[:, :, None], kept)
    return Tokens(changed[:, :, 0], lengths.cpu())


def _compact(items: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
    """Return the kept items, `(B, K', F)` with zeros at the end, and the size of each set."""
    lengths = kept.sum(dim=1)
    size = int(lengths.max())
    order = (~kept).to(torch.uint8).argsort(dim=1, stable=True)[:, :size]
    items = items.gather(1, order[:, :, None].expand(-1, -1, items.shape[2]))
    absent = torch.arange(size, device=items.device) >= lengths[:, None]
    return items.masked_fill(absent[:, :, None], 0), lengths
