"""What the data doctor says: figures of each split, and findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import numpy as np

LEVELS = ("error", "warning", "note")

SHOWN = 5
"""How many rows, lines or images a finding names."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Finding:
    """Something that a user should know.

    Attributes:
        level: "error": a training on these data fails. "warning": it runs, and what comes of it is likely to be worse
            than it could be, or to be measured wrongly. "note": good to know.
        split: that it is about; None: several, or the data set.
        what: one sentence.
        file: that it is about.
        at: the first places, such as rows or lines; what they are counted from is said in each.
        count: how many such places there are.
        remedy: what to do about it.
    """

    level: str
    split: str | None
    what: str
    remedy: str
    file: str | None = None
    at: tuple[str, ...] = ()
    count: int = 1


@dataclass(frozen=True)
class Range:
    """The least, the mean and the greatest of some numbers."""

    min: float
    mean: float
    max: float

    @classmethod
    def of(cls, values: Sequence[int] | np.ndarray) -> Range | None:
        """Return the range of these numbers; None where there are none."""
        numbers = np.asarray(values)
        if not numbers.size:
            return None
        return cls(numbers.min().item(), float(numbers.mean()), numbers.max().item())


@dataclass
class SplitFigures:
    """The figures of a split; None: not known, or not of this kind of image.

    Attributes:
        images: how many there are, however many of them a training uses.
        captions: likewise.
        captions_per_image: their range.
        kind: of `vsezoo.interfaces.KINDS`.
        image_shape: of one image. Pictures have a shape each, see `sizes`.
        rows: of the features file.
        dtype: of the numbers in it.
        norms: L2, of each feature `(F,)`; of each region, where images are regions.
        mean_cosine: of two different images; of their mean regions, where images are regions.
        sizes: how many pictures there are of the ten most frequent sizes, by "width x height".
        modes: how many pictures there are of each mode that Pillow finds in the files, such as "RGB", "L", "CMYK".
        words: in a caption, cut as VSE++ does.
        known_words: the share of the running words that occur often enough in the training captions.
    """

    images: int | None = None
    captions: int | None = None
    captions_per_image: Range | None = None
    kind: str | None = None
    image_shape: tuple[int, ...] | None = None
    rows: int | None = None
    dtype: str | None = None
    norms: Range | None = None
    mean_cosine: float | None = None
    sizes: dict[str, int] | None = None
    modes: dict[str, int] | None = None
    words: Range | None = None
    known_words: float | None = None


@dataclass
class Report:
    """What was found.

    Attributes:
        data: the data set's name.
        vocab_threshold: how often a word must occur to be in the vocabulary.
        vocabulary: how many words a training would know, of train and dev; None: there are no training captions.
        splits: the figures of each split.
        account: what was found in the folder of a data set of pictures, see `vsezoo.interfaces.PairDataset.account`.
        findings: the worst first.
    """

    data: str
    vocab_threshold: int
    vocabulary: int | None = None
    splits: dict[str, SplitFigures] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """Whether a training on these data fails."""
        return any(finding.level == "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {**asdict(self), "fails": self.fails}


def show_first(items: Iterable[Item], describe: Callable[[Item], str]) -> tuple[str, ...]:
    """Return the descriptions of the first items."""
    return tuple(describe(item) for item, _ in zip(items, range(SHOWN), strict=False))
