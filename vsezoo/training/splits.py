"""The splits of a training run: opened before the first step, when what is wrong can still be mended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vsezoo.data.lookup import open_data
from vsezoo.data.source import OpenOptions
from vsezoo.errors import DataError
from vsezoo.interfaces import PairDataset
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


def open_test(data: str, kinds: Sequence[str], options: OpenOptions) -> tuple[PairDataset | None, str]:
    """Open the test split before the training, when what is wrong with it can still be mended."""
    try:
        return open_data(data, "test", kinds, options), ""
    except DataError as error:
        return None, f"The test split cannot be used, so the dev split will be reported. {error}"


def require_one_width(train: PairDataset, *others: PairDataset) -> None:
    """Find out before the training whether the other splits suit the model that it makes."""
    for other in others:
        if (other.kind, other.image_shape[-1:]) != (train.kind, train.image_shape[-1:]):
            raise DataError(
                f"the images of the split {other.split} of {train.name!r} are {other.kind} of shape "
                f"{other.image_shape}, those of {train.split} {train.kind} of shape {train.image_shape}.",
                remedy="Extract the features of all splits in the same way.",
            )


def describe_skipped(*splits: PairDataset | None) -> Iterator[str]:
    """Say which images were left out."""
    for split in splits:
        if split is not None and split.skipped:
            named = [f"{name}: {reason}" for name, reason in list(split.skipped.items())[:SKIPPED_SHOWN]]
            more = f"\n… and {len(split.skipped) - len(named):,} more" if len(named) < len(split.skipped) else ""
            count = len(split.skipped) + len(split.image_ids)
            yield (
                f"{len(split.skipped):,} of the {count:,} images of the split {split.split} are left out, with their "
                "captions:\n" + "\n".join(named) + more
            )
