"""Exact ranks of matching pairs, computed in blocks of scores, on any device and in bounded memory.

Nothing is sorted: a rank is the number of candidates before the best match. The score of the match is read from the
same block as the scores that it is compared with, because another product of the same vectors may differ in its last
bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import DataError, VsezooError, require_name
from vsezoo.evaluation.metrics import TIE_RULES, Ranks

Scorer = Callable[[slice, slice], Tensor]
"""Returns the scores of a block of images (rows) and captions (columns)."""

WHOLE_SIZE = 2**24
"""Scores up to which there is one product for both directions: 64 MB in float32. Ranking takes about as much again."""

BLOCK_SIZE = 2**22
"""Scores of a block, if there are more: a quarter of that, which is compared while it is in the processor's cache."""

MIN_QUERIES = 8
"""Queries in a block, where there are so many: a product with very few vectors runs in another kernel, in which the
scores of equal vectors may differ in the last bit by their place."""


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


@torch.no_grad()
def rank_pairs(
    scorer: Scorer,
    image_of: np.ndarray,
    num_images: int,
    *,
    ties: str = "lower_index",
    block_size: int | None = None,
) -> Ranks:
    """Rank the captions of every image and the images of every caption.

    The best match of an image is its caption with the highest score and, among equals, the lowest index; its other
    captions never rank before it. The tie rules (`TIE_RULES`), with e non-matching candidates of equal score, and k
    matches of equal score, including the best match:

    - `lower_index`: #(better) + #(those of the e with a lower index),
    - `pessimistic`: #(better) + e,
    - `expected`: #(better) + e / (k + 1).

    Args:
        scorer: returns the scores of a block. Unless all scores fit in one block, it is called twice for each.
        image_of: `(M,)` integers, the image of each caption. Captions of one image are consecutive.
        num_images: N. Every image has a caption.
        ties: the tie rule.
        block_size: scores in memory at once; a block has at least `MIN_QUERIES` queries with all their candidates.
            None: `WHOLE_SIZE`, or blocks of `BLOCK_SIZE`.

    Raises:
        DataError: when `image_of` is not as described.
        UsageError: for an unknown tie rule.
        VsezooError: when a score is NaN, or the scores have the wrong shape.
    """
    require_name("tie rule", ties, TIE_RULES)
    image_of = np.asarray(image_of, np.int64)
    first, count = _locate_captions(image_of, num_images)
    placed: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"i2t": [], "t2i": []}
    for direction, rows, scores in score_blocks(scorer, num_images, len(image_of), block_size=block_size):
        if direction == "i2t":
            match = _match_images(scores, first[rows], count[rows])
        else:
            match = _match_captions(scores, image_of[rows])
        placed[direction].append(_place(scores, match, ties))
    i2t_ranks, i2t_tied = map(np.concatenate, zip(*placed["i2t"], strict=True))
    t2i_ranks, t2i_tied = map(np.concatenate, zip(*placed["t2i"], strict=True))
    return Ranks(i2t_ranks, t2i_ranks, i2t_tied, t2i_tied)


def score_blocks(
    scorer: Scorer, num_images: int, num_captions: int, *, block_size: int | None = None
) -> Iterator[tuple[str, slice, Tensor]]:
    """Yield the scores of all queries of both directions: direction, queries, and scores of all their candidates.

    Args:
        scorer: the scores of a block. Unless all scores fit into one block, each is asked for twice.
        num_images: N.
        num_captions: M.
        block_size: see `rank_pairs`.

    Raises:
        VsezooError: when a score is not a number, or the scores have not the shape of their block.
    """
    every_image, every_caption = slice(0, num_images), slice(0, num_captions)
    if num_images * num_captions <= (block_size or WHOLE_SIZE):  # one product for both directions
        whole = _score(scorer, every_image, every_caption)
        yield "i2t", every_image, whole
        yield "t2i", every_caption, whole.T
        return
    block_size = block_size or BLOCK_SIZE
    for images in _cut(num_images, num_captions, block_size):
        yield "i2t", images, _score(scorer, images, every_caption)
    for captions in _cut(num_captions, num_images, block_size):
        yield "t2i", captions, _score(scorer, every_image, captions).T


def _locate_captions(image_of: np.ndarray, num_images: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the index of the first caption and the number of captions of each image, both `(N,)`."""
    if num_images < 1 or len(image_of) < 1:
        raise DataError("There are no images or no captions to rank.")
    if image_of.min() < 0 or image_of.max() >= num_images:
        raise DataError(f"A caption belongs to an image that is not among the {num_images:,}.")
    count = np.bincount(image_of, minlength=num_images)
    if not count.all():
        raise DataError(
            f"{np.sum(count == 0):,} of {num_images:,} images have no caption; the first is number {np.argmin(count)}.",
            remedy="Rank images that have captions only.",
        )
    heads = np.flatnonzero(np.diff(image_of, prepend=-1))
    if len(heads) != num_images:
        raise DataError(
            "The captions of an image are not consecutive.", remedy="Sort the captions by the image that they describe."
        )
    first = np.empty(num_images, np.int64)
    first[image_of[heads]] = heads
    return first, count


def _cut(num_queries: int, num_candidates: int, block_size: int) -> Iterator[slice]:
    """Split the queries into slices of nearly equal length, so that none is very short."""
    wanted = max(2 * MIN_QUERIES, block_size // num_candidates)  # nearly equal slices have half of it at least
    bounds = np.linspace(0, num_queries, -(-num_queries // wanted) + 1).astype(int).tolist()
    return map(slice, bounds[:-1], bounds[1:])


def _score(scorer: Scorer, images: slice, captions: slice) -> Tensor:
    scores = scorer(images, captions)
    shape = images.stop - images.start, captions.stop - captions.start
    if scores.shape != shape:
        raise VsezooError(f"The similarity gave scores of shape {tuple(scores.shape)} instead of {shape}.")
    # No score is better than NaN, so that its rank would be perfect. A finite sum (the cheap test) excludes NaN.
    if not scores.sum().isfinite() and scores.isnan().any():
        raise VsezooError(
            "Some scores are not a number (NaN), and cannot be ranked.",
            remedy="The model has diverged, or its similarity divides by zero; look at its embeddings.",
        )
    return scores


def _match_images(scores: Tensor, first: np.ndarray, count: np.ndarray) -> _Match:
    """Return the best own caption of images, from `(Q, M)` scores; `first` and `count` are `(Q,)`."""
    own = first[:, None] + np.arange(count.max())  # (Q, most captions of an image)
    absent = torch.from_numpy(own >= (first + count)[:, None]).to(scores.device)
    columns = torch.from_numpy(np.minimum(own, scores.shape[1] - 1)).to(scores.device)
    own_scores = scores.gather(1, columns).masked_fill(absent, -torch.inf)
    place = own_scores.argmax(1, keepdim=True)  # the first of equals
    best = own_scores.gather(1, place)
    return _Match(best, columns.gather(1, place), ((own_scores == best) & ~absent).sum(1))


def _match_captions(scores: Tensor, image_of: np.ndarray) -> _Match:
    """Return the image of captions, from `(Q, N)` scores; `image_of` is `(Q,)`."""
    index = torch.from_numpy(image_of).to(scores.device)[:, None]
    return _Match(scores.gather(1, index), index, torch.ones_like(index[:, 0]))


def _place(scores: Tensor, match: _Match, ties: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranks of Q queries among C candidates, from `(Q, C)` scores, and which queries are tied."""
    better, equal = _compare(scores, match.score)
    equal = equal - match.number
    tied = equal > 0
    before = better
    if ties == "pessimistic":
        before = better + equal
    elif ties == "lower_index" and tied.any():
        queries = tied.nonzero()[:, 0]
        lower = torch.arange(scores.shape[1], device=scores.device) < match.index[queries]
        before = better.index_add(0, queries, _count((scores[queries] == match.score[queries]) & lower))
    ranks = before.cpu().numpy()
    if ties == "expected":
        ranks = ranks + equal.cpu().numpy() / (match.number.cpu().numpy() + 1)
    return ranks, tied.cpu().numpy()


def _compare(scores: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
    """Return how many scores `(Q, C)` of each row are higher than its best match `(Q, 1)`, and how many are equal.

    Sums of signs are several times as fast as comparisons, whose flags are bytes. They are exact below 2**24.
    """
    if not best.isfinite().all():  # the difference of two infinite scores is not a number
        limits = torch.finfo(scores.dtype)
        scores, best = scores.clamp(limits.min, limits.max), best.clamp(limits.min, limits.max)
    signs = (scores - best).sign_()
    balance = signs.sum(1, dtype=torch.float32)
    different = signs.abs_().sum(1, dtype=torch.float32)
    return ((balance + different) / 2).long(), (scores.shape[1] - different).long()


def _count(flags: Tensor) -> Tensor:
    """Return the number of set flags in each row. Summing bytes in 32 bits is far faster than summing booleans."""
    return flags.view(torch.uint8).sum(1, dtype=torch.int32).long()
