"""The standard protocols: which images are ranked against which captions, and what is averaged."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vsezoo.errors import UsageError, VsezooError, require_name
from vsezoo.evaluation.encoded import EncodedSplit
from vsezoo.evaluation.metrics import PROTOCOLS, TIE_RULES, Metrics, average_metrics
from vsezoo.evaluation.ranks import rank_pairs
from vsezoo.evaluation.scoring import make_scorer
from vsezoo.registry.owners import point_to_checks
from vsezoo.storage.waiting import Advance

Collect = Callable[..., object]
"""Takes a scorer, the images and captions of the split that it scores as indices, and the number of the fold."""

FOLDS = 5
FOLD_IMAGES = 1000
"""COCO "1K": the mean over five blocks of 1,000 of the 5,000 test images, not the first 1,000."""


def measure(
    embeddings: Sequence[EncodedSplit],
    image_of: np.ndarray,
    *,
    protocol: str = "full",
    ties: str = "lower_index",
    advance: Advance | None = None,
    keep: Path | None = None,
    collect: Collect | None = None,
) -> Metrics:
    """Rank a split under a protocol and compute the metrics.

    Args:
        embeddings: of one model, or of the members of an ensemble, whose similarities are averaged (as in VSRN).
        image_of: `(M,)` integers, the image of each caption. Captions of one image are consecutive.
        protocol: one of `PROTOCOLS`.
        ties: one of `TIE_RULES`.
        advance: progress callback for scored pairs; see `make_scorer`.
        keep: a file for the scores, in which an interrupted evaluation continues; with fold5, each fold has its own,
            `NAME.fold1.npy` for `NAME.npy`.
        collect: called with what is ranked, for per-query results: once, or once for each fold.

    Raises:
        StorageError: when there is no space for the scores of an expensive similarity, or `keep` has other scores.
        UsageError: for an unknown name, members of different sizes, or fold5 without 5,000 images.
        VsezooError: when an embedding or a score is not finite.
        DataError: when the captions of an image are not consecutive, or an image has none.
    """
    require_name("protocol", protocol, PROTOCOLS)
    require_name("tie rule", ties, TIE_RULES)
    _check_embeddings(embeddings, len(image_of))
    chosen = measure_folds if protocol == "fold5" else measure_full
    return chosen(embeddings, image_of, ties=ties, advance=advance, keep=keep, collect=collect)


def measure_full(
    embeddings: Sequence[EncodedSplit],
    image_of: np.ndarray,
    *,
    ties: str = "lower_index",
    advance: Advance | None = None,
    keep: Path | None = None,
    collect: Collect | None = None,
) -> Metrics:
    """Rank all images against all captions."""
    scorer, num_images = make_scorer(embeddings, advance, keep), len(embeddings[0].images)
    if collect:
        collect(scorer, np.arange(num_images), np.arange(len(image_of)))
    return Metrics.from_ranks(rank_pairs(scorer, image_of, num_images, ties=ties), ties)


def measure_folds(
    embeddings: Sequence[EncodedSplit],
    image_of: np.ndarray,
    *,
    ties: str = "lower_index",
    fold_images: int = FOLD_IMAGES,
    advance: Advance | None = None,
    keep: Path | None = None,
    collect: Collect | None = None,
) -> Metrics:
    """Rank each of five blocks of consecutive images separately and average every metric, including the median rank."""
    num_images = len(embeddings[0].images)
    if num_images != FOLDS * fold_images:
        raise UsageError(
            f"The split has {num_images:,} images; fold5 needs {FOLDS * fold_images:,}.",
            remedy=f'fold5 (COCO "1K") is the mean over {FOLDS} blocks of {fold_images:,} images, as of the COCO split '
            "`testall`. Use the protocol `full` for other splits.",
        )
    folds: list[Metrics] = []
    for start in range(0, num_images, fold_images):
        images = slice(start, start + fold_images)
        captions = (image_of >= images.start) & (image_of < images.stop)
        parts = [member.select(images, torch.from_numpy(captions)) for member in embeddings]
        counted = advance and _count_from(
            fold_images * int((image_of < start).sum()), fold_images * len(image_of), advance
        )
        file = keep and keep.with_suffix(f".fold{len(folds) + 1}{keep.suffix}")
        scorer, fold_of = make_scorer(parts, counted, file), image_of[captions] - start
        if collect:
            collect(scorer, np.arange(images.start, images.stop), np.flatnonzero(captions), len(folds) + 1)
        folds.append(Metrics.from_ranks(rank_pairs(scorer, fold_of, fold_images, ties=ties), ties))
    return average_metrics(folds)


def _count_from(before: int, total: int, advance: Advance) -> Advance:
    return lambda done, _: advance(before + done, total)


def _check_embeddings(embeddings: Sequence[EncodedSplit], num_captions: int) -> None:
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
        for name, kind, side in (("image", "image_encoder", member.images), ("caption", "text_encoder", member.texts)):
            rows = side.vectors
            low, high = rows.aminmax(dim=1)  # NaN if the row contains one
            if bad := int((~(low.isfinite() & high.isfinite())).sum()):
                maker = f", which the {member.model.describe(kind)} returned," if member.model else ""
                checks = point_to_checks(member.model.parts[kind]) if member.model else ""
                raise VsezooError(
                    f"The {name} embeddings{owner}{maker} are not finite (NaN or infinite) in {bad:,} of {len(rows):,} "
                    "rows.",
                    remedy="The model has diverged, or its input is damaged; train with a lower learning rate, or "
                    f"check the data with `vsezoo data check`. {checks}".rstrip(),
                )


def __getattr__(name: str) -> Any:
    if name == "Embeddings":
        warnings.warn(f"{__name__}.Embeddings has become EncodedSplit.", DeprecationWarning, stacklevel=2)
        return EncodedSplit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
