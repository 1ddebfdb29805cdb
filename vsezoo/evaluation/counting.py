"""Counts the candidates before the best match of each query, from tiles of scores in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vsezoo.evaluation.metrics import Ranks
from vsezoo.evaluation.tiles import Tile


@dataclass(frozen=True)
class _Match:
    """The best match of each of Q queries.

    Attributes:
        score: `(Q, 1)`.
        index: `(Q, 1)` its candidate, with the lowest index among matches of this score.
        number: `(Q,)` number of matches with this score.
    """

    score: Tensor
    index: Tensor
    number: Tensor


class _Direction:
    """What has been counted for each of Q queries: candidates before the best match, and others of its score."""

    def __init__(self, queries: int, device: torch.device) -> None:
        self.better, self.lower, self.equal = torch.zeros(3, queries, dtype=torch.long, device=device)
        self.number = torch.ones_like(self.better)

    def add(self, scores: Tensor, match: _Match, queries: slice, start: int, *, all_matches: bool) -> None:
        """Count candidates.

        Args:
            scores: `(q, c)` of some queries and candidates.
            match: of these queries.
            queries: which they are.
            start: the first of the candidates.
            all_matches: whether all matches of these queries are among the candidates.
        """
        better, equal = _compare(scores, match.score)
        self.better[queries] += better
        self.equal[queries] += equal
        self.number[queries] = match.number
        others = (equal - match.number if all_matches else equal) > 0
        if others.any():
            rows = others.nonzero()[:, 0]
            lower = torch.arange(start, start + scores.shape[1], device=scores.device) < match.index[rows]
            self.lower[queries].index_add_(0, rows, _count((scores[rows] == match.score[rows]) & lower))

    def rank(self, ties: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the ranks, and which queries are tied, both `(Q,)`."""
        equal = self.equal - self.number
        tied = (equal > 0).cpu().numpy()
        if ties == "expected":
            return self.better.cpu().numpy() + equal.cpu().numpy() / (self.number.cpu().numpy() + 1), tied
        before = self.better + (equal if ties == "pessimistic" else self.lower)
        return before.cpu().numpy(), tied


class Counter:
    """Counts both directions; see `vsezoo.evaluation.ranks.rank_pairs` for the rules.

    Args:
        image_of: `(M,)` the image of each caption.
        first: `(N,)` the first caption of each image.
        count: `(N,)` the number of captions of each image.
        like: any scores; the others have their type, and are on their device.
    """

    def __init__(self, image_of: np.ndarray, first: np.ndarray, count: np.ndarray, like: Tensor) -> None:
        self._image_of = torch.from_numpy(image_of).to(like.device)
        self._first, self._count = first, count
        self._own = like.new_empty(len(image_of))  # the score of each caption and its image
        self._images, self._captions = (_Direction(queries, like.device) for queries in (len(first), len(image_of)))

    def read_pairs(self, tile: Tile, scores: Tensor) -> None:
        """Take the scores of the matches of a tile. All of an image or caption are read before `add` counts for it."""
        pairs = torch.from_numpy(tile.pairs).to(scores.device)
        rows = self._image_of[pairs] - tile.images.whole.start
        self._own[pairs] = scores[rows, pairs - tile.captions.whole.start]

    def add(self, tile: Tile, scores: Tensor) -> None:
        """Count the scores of a tile. Those of the matches of its images and captions are known."""
        images, captions = tile.images.counted, tile.captions.counted
        scores = scores[tile.images.inner, tile.captions.inner]
        match = self._match_images(images)
        self._images.add(scores, match, images, captions.start, all_matches=tile.alone)
        match = self._match_captions(captions)
        self._captions.add(scores.T, match, captions, images.start, all_matches=tile.alone)

    def finish(self, ties: str) -> Ranks:
        """Return the ranks when all tiles are counted."""
        i2t_ranks, i2t_tied = self._images.rank(ties)
        t2i_ranks, t2i_tied = self._captions.rank(ties)
        return Ranks(i2t_ranks, t2i_ranks, i2t_tied, t2i_tied)

    def _match_images(self, images: slice) -> _Match:
        """Return the best own captions."""
        first, count = self._first[images], self._count[images]
        own = np.arange(count.sum()) + np.repeat(first - count.cumsum() + count, count)  # not padded to the most of any
        captions = torch.from_numpy(own).to(self._own.device)
        rows = torch.from_numpy(np.repeat(np.arange(len(first)), count)).to(self._own.device)
        scores = self._own[captions]
        best = scores.new_full((len(first),), -torch.inf).scatter_reduce_(0, rows, scores, "amax")
        is_best = scores == best[rows]
        rows, captions = rows[is_best], captions[is_best]
        index = torch.full_like(best, len(self._own), dtype=torch.long).scatter_reduce_(0, rows, captions, "amin")
        return _Match(best[:, None], index[:, None], rows.bincount(minlength=len(first)))

    def _match_captions(self, captions: slice) -> _Match:
        """Return the images of captions."""
        index = self._image_of[captions][:, None]
        return _Match(self._own[captions][:, None], index, torch.ones_like(index[:, 0]))


def _compare(scores: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many scores `(Q, C)` of each row are higher than its best match `(Q, 1)`, and how many are equal.

    Sums of signs are several times as fast as comparisons, whose flags are bytes. They are exact below 2**24.
    """
    if not best.isfinite().all():  # the difference of two infinite scores is not a number
        return _count(scores > best), _count(scores == best)
    signs = (scores - best).sign_()
    balance = signs.sum(1, dtype=torch.float32)
    different = signs.abs_().sum(1, dtype=torch.float32)
    return ((balance + different) / 2).long(), (scores.shape[1] - different).long()


def _count(flags: Tensor) -> Tensor:
    """Return the number of set flags in each row. Summing bytes in 32 bits is far faster than summing booleans."""
    return flags.view(torch.uint8).sum(1, dtype=torch.int32).long()
