"""The report of the data doctor: figures of each split, and findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from vsezoo.data.pictures.picture_file import Place
from vsezoo.errors import pluralise

LEVELS = ("error", "warning", "note")

PICTURED = 12
"""Most groups of images that a finding shows."""

SHOWN = 5
"""Most rows, lines or images that a finding lists."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Finding:
    """A problem of a data set, or something worth knowing about it.

    Attributes:
        level: "error": training on these data fails. "warning": training runs, but the model or its evaluation is
            likely to suffer. "note": good to know.
        split: name of the split; None: several splits, or the whole data set.
        what: description in one sentence.
        file: the file, if there is one.
        at: the first places, such as rows or lines; each says where counting starts.
        count: number of such places.
        images: the first images that it is about, in groups such as equal pictures: split and index of each.
        remedy: what to do.
    """

    level: str
    split: str | None
    what: str
    remedy: str
    file: str | None = None
    at: tuple[str, ...] = ()
    count: int = 1
    images: tuple[tuple[tuple[str, int], ...], ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Range:
    """Minimum, mean and maximum of some numbers."""

    min: float
    mean: float
    max: float

    @classmethod
    def of(cls, values: Sequence[int] | np.ndarray) -> Range | None:
        """Return the range of these numbers; None if there are none."""
        numbers = np.asarray(values)
        if not numbers.size:
            return None
        return cls(numbers.min().item(), float(numbers.mean()), numbers.max().item())


@dataclass
class SplitFigures:
    """The figures of a split; None: unknown, or not applicable to this kind of image.

    Attributes:
        images: number of images, including those that training does not use.
        captions: number of captions, likewise.
        captions_per_image: range of the number per image.
        kind: one of `vsezoo.interfaces.KINDS`.
        image_shape: shape of one image. Pictures differ in shape, see `sizes`.
        rows: rows of the feature file.
        dtype: number type of the feature file.
        norms: L2 norms of the features `(F,)`, or of the regions.
        mean_cosine: mean cosine of two different images; for regions, of their mean regions.
        sizes: number of pictures of each of the ten most frequent sizes, by "width x height".
        modes: number of pictures of each Pillow mode in the files, such as "RGB", "L", "CMYK".
        words: caption lengths in words, tokenised like VSE++.
        known_words: share of the running words that occur often enough in the training captions.
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
    """The result of a check.

    Attributes:
        data: the data set's name.
        vocab_threshold: minimum number of occurrences of a word in the vocabulary.
        vocabulary: number of words in the vocabulary of train and dev; None if there are no training captions.
        splits: figures of each split.
        account: account of a picture data set, see `vsezoo.interfaces.PairDataset.account`.
        findings: most severe first.
        places: the pictures of each split, for a page; not in `to_json`.
        lengths: the number of captions of each split by their number of words, for a page; not in `to_json`.
    """

    data: str
    vocab_threshold: int
    vocabulary: int | None = None
    splits: dict[str, SplitFigures] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    places: dict[str, Sequence[Place]] = field(default_factory=dict, repr=False)
    lengths: dict[str, Counter[int]] = field(default_factory=dict, repr=False)

    @property
    def fails(self) -> bool:
        """Whether training on these data fails."""
        return any(finding.level == "error" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The number of findings of each level, and whether training can run, as a sentence."""
        counts = Counter(finding.level for finding in self.findings)
        listing = ", ".join(pluralise(counts[level], level) for level in LEVELS)
        return f"{listing}: training on these data {'would fail' if self.fails else 'can run'}."

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        content = asdict(replace(self, places={}, lengths={}))
        del content["places"], content["lengths"]
        return {**content, "fails": self.fails}


def show_first(items: Iterable[Item], describe: Callable[[Item], str]) -> tuple[str, ...]:
    """Return the descriptions of the first items."""
    return tuple(describe(item) for item, _ in zip(items, range(SHOWN), strict=False))
