"""The field's protocols: which images are ranked against which captions, and what is averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import UsageError, VsezooError, require_name
from vsezoo.evaluation.metrics import PROTOCOLS, TIE_RULES, Metrics, average_metrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.interfaces import Similarity

FOLDS = 5
FOLD_IMAGES = 1000
"""COCO "1K": the mean over five blocks of 1,000 of the 5,000 test images, not the first 1,000."""


@dataclass(frozen=True)
class Embeddings:
    """What one model made of the images and captions of a split.

    Attributes:
        images: `(N, D)`, one row for each distinct image.
        texts: `(M, D)`, on the same device.
        similarity: what scores them.
    """

    images: Tensor
    texts: Tensor
    similarity: Similarity

    def select(self, images: slice, texts: Tensor) -> Embeddings:
        """Return a part: a slice of the images, and the captions that are True in `(M,)` texts."""
        return Embeddings(self.images[images], self.texts[texts.to(self.texts.device)], self.similarity)


def measure(
    embeddings: Sequence[Embeddings], image_of: np.ndarray, *, protocol: str = "full", ties: str = "lower_index"
) -> Metrics:
    """Rank a split under a protocol and measure it.

    Args:
        embeddings: of one model, or of the members of an ensemble, whose similarities are averaged (as VSRN does).
        image_of: `(M,)` integers, which image each caption describes. Captions of one image are neighbours.
        protocol: one of `PROTOCOLS`.
        ties: one of `TIE_RULES`.

    Raises:
        UsageError: for an unknown name, members of different sizes, or fold5 without 5,000 images.
        VsezooError: when an embedding or a score is not finite.
        DataError: when the captions of an image are not neighbours, or an image has none.
    """
    require_name("protocol", protocol, PROTOCOLS)
    require_name("tie rule", ties, TIE_RULES)
    _check_embeddings(embeddings, len(image_of))
    return (measure_folds if protocol == "fold5" else measure_full)(embeddings, image_of, ties=ties)


def measure_full(embeddings: Sequence[Embeddings], image_of: np.ndarray, *, ties: str = "lower_index") -> Metrics:
    """Rank all images against all captions."""

    def score(images: slice, captions: slice) -> Tensor:
        scores: Iterator[Tensor] = (
            member.similarity(member.images[images], member.texts[captions]) for member in embeddings
        )
        return reduce(torch.add, scores)  # ranks as the mean does, without its rounding

    return Metrics.from_ranks(rank_pairs(score, image_of, len(embeddings[0].images), ties=ties), ties)


def measure_folds(
    embeddings: Sequence[Embeddings],
    image_of: np.ndarray,
    *,
    ties: str = "lower_index",
    fold_images: int = FOLD_IMAGES,
) -> Metrics:
    """Rank each of five blocks of neighbouring images by itself and average every figure, the median rank too."""
    num_images = len(embeddings[0].images)
    if num_images != FOLDS * fold_images:
        raise UsageError(
            f"The split has {num_images:,} images; fold5 needs {FOLDS * fold_images:,}.",
            remedy=f'fold5 (COCO "1K") is the mean over {FOLDS} blocks of {fold_images:,} images, as of the COCO split '
            "`testall`. Use the protocol `full` for other splits.",
        )
    folds = []
    for start in range(0, num_images, fold_images):
        images = slice(start, start + fold_images)
        captions = (image_of >= images.start) & (image_of < images.stop)
        parts = [member.select(images, torch.from_numpy(captions)) for member in embeddings]
        folds.append(measure_full(parts, image_of[captions] - start, ties=ties))
    return average_metrics(folds)


def _check_embeddings(embeddings: Sequence[Embeddings], num_captions: int) -> None:
    num_images = len(embeddings[0].images)
    for number, member in enumerate(embeddings, start=1):
        owner = "" if len(embeddings) == 1 else f" of member {number} of the ensemble"
        sizes = len(member.images), len(member.texts)
        if sizes != (num_images, num_captions):
            raise UsageError(
                f"The embeddings{owner} are of {sizes[0]:,} images and {sizes[1]:,} captions instead of "
                f"{num_images:,} and {num_captions:,}.",
                remedy="All must come from the same split of the same data.",
            )
        for name, rows in (("image", member.images), ("caption", member.texts)):
            low, high = rows.aminmax(dim=1)  # NaN where the row has one
            if bad := int((~(low.isfinite() & high.isfinite())).sum()):
                raise VsezooError(
                    f"The {name} embeddings{owner} are not finite (NaN or infinite) in {bad:,} of {len(rows):,} rows.",
                    remedy="The model has diverged, or its input is damaged; train with a lower learning rate, or "
                    "check the data.",
                )
