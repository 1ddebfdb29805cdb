"""The splits of a training run, opened and checked before the first step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError
from vsezoo.evaluation.evaluate import embed_pairs, label
from vsezoo.evaluation.report import Evaluation
from vsezoo.inputs import PairDataset
from vsezoo.model import JointEmbedding
from vsezoo.training.batches import TokenTable

SKIPPED_SHOWN = 5


@dataclass(frozen=True)
class Split:
    """A split with its captions as ids."""

    data: PairDataset
    tokens: TokenTable

    @property
    def captions(self) -> list[np.ndarray]:
        """The ids of each caption."""
        return [self.tokens.caption(index) for index in range(len(self.tokens))]


def evaluate_split(model: JointEmbedding, split: Split) -> Evaluation:
    """Evaluate a model in float32."""
    members = [embed_pairs(model, split.data, split.captions)]
    return label(members, split.data, [{"reference": ".", "model": model.recipe.name, "sha256": ""}])


@dataclass(frozen=True)
class Splits:
    """The splits of a training run, opened once each.

    Attributes:
        train: the training split.
        dev: the split for choosing the best checkpoint.
        test: the split to report; None if it cannot be opened, in which case dev is reported.
        warnings: about the test split, and about skipped images.
    """

    train: PairDataset
    dev: PairDataset
    test: PairDataset | None
    warnings: tuple[str, ...] = ()

    @property
    def vocabulary_captions(self) -> list[str]:
        """The captions for the vocabulary, those of train first.

        They include all dev captions, as in the original codes, which validate on the first 5,000.
        """
        return [*self.train.captions, *self.dev.all_captions]


def open_splits(data: str, kinds: Sequence[str], options: OpenOptions) -> Splits:
    """Open the splits before the run starts, when problems can still be fixed.

    Args:
        data: a registered name or a folder.
        kinds: kinds of images that the encoder takes, the preferred one first.
        options: how to open them.

    Raises:
        DataError: for a training or dev split that is absent or damaged, or splits with different kinds of images.
    """
    train, dev = (open_data(data, split, kinds, options) for split in ("train", "dev"))
    test, absence = None, []
    try:
        test = open_data(data, "test", kinds, options)
    except DataError as error:
        absence = [f"The test split cannot be used, so the dev split will be reported. {error}"]
    require_one_width(train, dev, *([test] if test else []))
    return Splits(train, dev, test, (*absence, *describe_skipped(train, dev, test)))


def require_one_width(train: PairDataset, *others: PairDataset) -> None:
    """Check before training that the other splits have the image shape of the training split."""
    for other in others:
        if (other.kind, other.image_shape[-1:]) != (train.kind, train.image_shape[-1:]):
            raise DataError(
                f"the images of the split {other.split} of {train.name!r} are {other.kind} of shape "
                f"{other.image_shape}, those of {train.split} {train.kind} of shape {train.image_shape}.",
                remedy="Extract the features of all splits in the same way.",
            )


def describe_skipped(*splits: PairDataset | None) -> Iterator[str]:
    """Return warnings about skipped images."""
    for split in splits:
        if split is not None and split.skipped:
            named = [f"{name}: {reason}" for name, reason in list(split.skipped.items())[:SKIPPED_SHOWN]]
            more = f"\n… and {len(split.skipped) - len(named):,} more" if len(named) < len(split.skipped) else ""
            count = len(split.skipped) + len(split.image_ids)
            yield (
                f"{len(split.skipped):,} of the {count:,} images of the split {split.split} are skipped, with their "
                "captions:\n" + "\n".join(named) + more
            )
