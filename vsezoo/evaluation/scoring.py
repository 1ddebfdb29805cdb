"""Scores of a split: block by block on demand, or all of them once if a score is expensive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import reduce
from pathlib import Path

import torch
from torch import Tensor

from vsezoo.batch import Embeddings, cut_evenly
from vsezoo.errors import VsezooError
from vsezoo.evaluation.encoded import EncodedSplit
from vsezoo.evaluation.kept_scores import KeptScores
from vsezoo.evaluation.ranks import Scorer
from vsezoo.evaluation.scratch import ScratchArray
from vsezoo.registry.owners import describe, guard, point_to_checks
from vsezoo.storage.waiting import Advance

IMAGES, TEXTS = 128, 512
"""Maximum number of images and captions whose sets are on the device at a time."""


def make_scorer(members: Sequence[EncodedSplit], advance: Advance | None = None, keep: Path | None = None) -> Scorer:
    """Return a scorer for the summed scores of ensemble members, or for one model.

    The sum ranks like the mean, without its rounding. If the similarity of a member compares sets, or names a tile,
    every score is computed once, here; many scores are stored in a temporary file.

    Args:
        members: encoded splits, all of the same split.
        advance: progress callback for scored pairs that are computed here.
        keep: a file for all scores, in which an interrupted evaluation continues; None: they are not kept.

    Raises:
        StorageError: when there is no space for the file, or `keep` has other scores.
    """
    if keep is None and not any(member.similarity.inputs == "sets" or member.similarity.tile for member in members):
        return lambda images, texts: _add(_score_vectors(member, images, texts) for member in members)
    scores, device = _score_all(members, advance, keep), members[0].images.vectors.device
    return lambda images, texts: scores[images, texts].to(device)


def _score_vectors(member: EncodedSplit, images: slice, texts: slice) -> Tensor:
    return _compare(member, member.images.vectors[images], member.texts.vectors[texts])


def _score_all(members: Sequence[EncodedSplit], advance: Advance | None, keep: Path | None) -> Tensor:
    """Return the scores `(N, M)` in main memory, or mapped."""
    count, total = len(members[0].texts), len(members[0].images) * len(members[0].texts)
    # Consecutive sets of one length need hardly any padding.
    orders = [torch.arange(count) if m.texts.lengths is None else m.texts.lengths.argsort(stable=True) for m in members]
    with closing(ScratchArray() if keep is None else KeptScores(keep, members)) as scores:
        for rows in cut_evenly(len(members[0].images), IMAGES):
            if rows.stop > scores.rows:
                bands = (_score_band(member, rows, order) for member, order in zip(members, orders, strict=True))
                scores.append(_add(bands).cpu().numpy()[scores.rows - rows.start :])
            if advance:
                advance(scores.rows * count, total)
        return torch.from_numpy(scores.finish())


def _score_band(member: EncodedSplit, rows: slice, order: Tensor) -> Tensor:
    """Return the scores of some images and all captions, which are processed in the given order."""
    images = member.images.select(rows).load()
    texts = (member.texts.select(order[part]).load() for part in cut_evenly(len(order), TEXTS))
    scores = torch.cat([_compare(member, images, block) for block in texts], dim=1)
    return scores[:, order.argsort().to(scores.device)]


def _compare(member: EncodedSplit, images: Tensor | Embeddings, texts: Tensor | Embeddings) -> Tensor:
    """Return the scores, after checking that they are numbers: NaN would have a perfect rank.

    Raises:
        VsezooError: for NaN; it names the similarity.
    """
    with guard(member.similarity):
        scores = member.similarity.compare(images, texts)
    if not scores.sum().isfinite() and scores.isnan().any():  # a finite sum, the cheap test, excludes NaN
        raise VsezooError(
            f"The {describe(member.similarity)} returned scores that are not a number (NaN) and cannot be ranked.",
            remedy="The model has diverged, or the similarity divides by zero: train with a lower learning rate, or "
            f"look in its forward for a division or logarithm of 0. {point_to_checks(member.similarity)}".rstrip(),
        )
    return scores


def _add(scores: Iterator[Tensor]) -> Tensor:
    return reduce(torch.add, scores)
