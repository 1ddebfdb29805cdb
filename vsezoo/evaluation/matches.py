"""Positions of all matches of a query, not only of the best one, and its first candidates with their scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Places(NamedTuple):
    """Positions of the matches of Q queries.

    Attributes:
        positions: `(Q, P)` float64, counted from 0 and ascending; infinite beyond a query's last match.
        matches: `(Q, P)` the candidates at these positions; -1 beyond the last.
        tied: `(Q,)` bool, whether a candidate that does not match scores exactly as the best match.
    """

    positions: Tensor
    matches: Tensor
    tied: Tensor


def place_matches(scores: Tensor, matches: Tensor, ties: str) -> Places:
    """Return the position of every match among all candidates.

    The position of the best match is its rank as `rank_pairs` counts it. Of matches with equal scores, the lower index
    comes first. For a match with m matches before it, b better candidates that do not match, and e equal ones:

    - `lower_index`: m + b + #(those of the e with a lower index),
    - `pessimistic`: m + b + e,
    - `expected`: m + b + e · j / (k + 1), for the j-th of k matches with this score: its mean position in a random
      order of equal scores.

    Args:
        scores: `(Q, C)` of all candidates.
        matches: `(Q, P)` int64, ascending indices of candidates, one at least; -1 after the last of a query.
        ties: a tie rule of `TIE_RULES`.
    """
    absent = matches < 0
    known = torch.where(absent, matches[:, :1], matches)
    own, order = scores.gather(1, known).masked_fill(absent, -torch.inf).sort(dim=1, descending=True, stable=True)
    known, absent = known.gather(1, order), absent.gather(1, order)
    others = torch.ones_like(scores, dtype=torch.bool).scatter_(1, known, False)
    columns = torch.arange(scores.shape[1], device=scores.device)
    positions = torch.full(known.shape, torch.inf, dtype=torch.float64, device=scores.device)
    tied = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
    for place in range(known.shape[1]):
        score = own[:, place, None]
        equals = (scores == score) & others
        equal = equals.sum(1)
        position = place + ((scores > score) & others).sum(1).double()
        if ties == "pessimistic":
            position += equal
        elif ties == "lower_index":
            position += (equals & (columns < known[:, place, None])).sum(1)
        else:
            same = (own == score) & ~absent
            position += equal.double() * same[:, : place + 1].sum(1) / (same.sum(1) + 1)
        positions[:, place] = position.masked_fill(absent[:, place], torch.inf)
        if place == 0:
            tied = equal > 0
    return Places(positions, known.masked_fill(absent, -1), tied)


def select_top(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the first candidates of each query, equal scores in the order of their indices.

    `torch.topk` chooses and orders equal scores arbitrarily.

    Args:
        scores: `(Q, C)`.
        count: how many; all C if there are fewer.

    Returns:
        their indices and scores, both `(Q, count)`.
    """
    count = min(count, scores.shape[1])
    if count == 0:
        return torch.empty((len(scores), 0), dtype=torch.int64), scores[:, :0]
    values, indices = scores.topk(count, dim=1)
    last = values[:, -1:]
    cut = (scores == last).sum(1) > (values == last).sum(1)  # some of those that equal the last one are left out
    if cut.any():
        indices[cut] = _select_first(scores[cut], last[cut], count)
    indices = indices.sort(dim=1).values
    values, order = scores.gather(1, indices).sort(dim=1, descending=True, stable=True)
    return indices.gather(1, order), values


def _select_first(scores: Tensor, last: Tensor, count: int) -> Tensor:
    """Return the indices `(Q, count)` of the first candidates, if `last` is the score of the last of them."""
    better, equal = scores > last, scores == last
    chosen = better | (equal & (equal.cumsum(1) <= count - better.sum(1, keepdim=True)))
    return chosen.nonzero()[:, 1].view(len(scores), count)
