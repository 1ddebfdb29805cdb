"""Exact ranks of matching pairs, computed in blocks of scores, on any device and in bounded memory.

Nothing is sorted: a rank is the number of candidates before the best match. The scores are computed in tiles of one
shape, each once for both directions, those with the matches first. The score of a match is read from such a tile,
because another product of the same vectors may differ in its last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from vsezoo.batch import cut_evenly
from vsezoo.errors import DataError, VsezooError, require_name
from vsezoo.evaluation.counting import Counter
from vsezoo.evaluation.metrics import TIE_RULES, Ranks
from vsezoo.evaluation.tiles import MIN_SIDE, Tile, cut_tiles

Scorer = Callable[[slice, slice], Tensor]
"""Returns the scores of a block of images (rows) and captions (columns)."""

WHOLE_SIZE = 2**24
"""Scores up to which there is one tile: 64 MB in float32. Ranking takes about as much again."""

BLOCK_SIZE = 2**22
"""Scores of a tile, if there are more: a quarter of that, which is compared while it is in the processor's cache."""


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
        scorer: returns the scores of a block. It is called once for each score; twice for those of the blocks with the
            pairs, if the captions are not in the order of their images or some images have many more than others.
        image_of: `(M,)` integers, the image of each caption. Captions of one image are consecutive.
        num_images: N. Every image has a caption.
        ties: the tie rule.
        block_size: scores in memory at once; a block has at least `MIN_SIDE` images and captions. None: `WHOLE_SIZE`,
            or blocks of `BLOCK_SIZE`.

    Raises:
        DataError: when `image_of` is not as described.
        UsageError: for an unknown tie rule.
        VsezooError: when a score is NaN, or the scores have the wrong shape.
    """
    require_name("tie rule", ties, TIE_RULES)
    image_of = np.asarray(image_of, np.int64)
    first, count = _locate_captions(image_of, num_images)
    whole = num_images * len(image_of) <= (block_size or WHOLE_SIZE)
    tiles = cut_tiles(image_of, num_images, WHOLE_SIZE if whole else block_size or BLOCK_SIZE)
    counter = None
    for tile in tiles:
        if len(tile.pairs):
            scores = _score_tile(scorer, tile)
            counter = counter or Counter(image_of, first, count, scores)
            counter.read_pairs(tile, scores)
            if tile.alone:
                counter.add(tile, scores)
    assert counter is not None  # there are pairs
    for tile in tiles:
        if not tile.alone:
            counter.add(tile, _score_tile(scorer, tile))
    return counter.finish(ties)


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
    for images in cut_evenly(num_images, max(MIN_SIDE, block_size // num_captions)):
        yield "i2t", images, _score(scorer, images, every_caption)
    for captions in cut_evenly(num_captions, max(MIN_SIDE, block_size // num_images)):
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


def _score_tile(scorer: Scorer, tile: Tile) -> Tensor:
    return _score(scorer, tile.images.whole, tile.captions.whole)


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
