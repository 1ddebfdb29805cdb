"""Open the splits of a data set for the doctor: as far as they can be read, whatever is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from vsezoo.data.caption_file import read_captions
from vsezoo.data.doctor.report import Finding, show_first
from vsezoo.data.pictures.pairs import ABSENT, WITHOUT_CAPTION
from vsezoo.data.pictures.picture_file import SKIP
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.data.source import DataSource, OpenOptions, SplitFiles
from vsezoo.errors import DataError, pluralise, suggest_name
from vsezoo.inputs import KINDS, PairDataset

REQUIRED = ("train", "dev")
"""The splits that training requires."""

MEASURED = ("test",)
"""The split that a training run opens first, evaluates at the end, and omits if it cannot be opened."""

Read = TypeVar("Read")


@dataclass(frozen=True)
class OpenSplit:
    """A split as far as it can be read.

    Attributes:
        name: `train`, `dev`, `test`, ….
        refusals: why a training run cannot open it, the reported reason first. None: it can be opened.
        pairs: the whole split; None if the files do not fit together. Feature values are not checked yet.
        used: number of images, from the first, used in training or evaluation.
        captions: the captions of `pairs`, or those of the caption file if `pairs` is None.
        caption_file: line i + 1 is caption i; None if captions come from elsewhere.
        features: the file whose rows are the images; None if they come from elsewhere.
    """

    name: str
    refusals: tuple[DataError, ...]
    pairs: PairDataset | None
    used: int
    captions: Sequence[str]
    caption_file: Path | None = None
    features: FeatureFile | None = None

    @property
    def is_readable(self) -> bool:
        """Whether there is anything to check."""
        return self.pairs is not None or self.features is not None or bool(self.captions)

    @property
    def kind(self) -> str | None:
        """The kind of its images."""
        if self.pairs is not None:
            return self.pairs.kind
        return None if self.features is None else "vector" if len(self.features.shape) == 2 else "regions"

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """The shape of an image; None for pictures, which differ in shape."""
        if self.features is not None:
            return self.features.shape[1:]
        return self.pairs.image_shape if self.pairs is not None and self.pairs.kind != "picture" else None

    @property
    def refused_level(self) -> str:
        """The level of the finding that the split cannot be opened."""
        return "error" if self.name in REQUIRED else "warning"

    def level(self, images: Iterable[int]) -> str:
        """Return the level of the finding that these images cannot be read."""
        if self.refusals:
            return self.refused_level
        is_read = any(image < self.used for image in images)
        return "error" if is_read and self.name in (*REQUIRED, *MEASURED) else "warning"

    @property
    def copies(self) -> int:
        """Number of rows per image in the feature file."""
        return self.features.shape[0] // len(self.pairs.image_ids) if self.features and self.pairs else 1

    @property
    def has_ids(self) -> bool:
        """Whether the images have ids other than their indices."""
        return self.pairs is not None and any(name != str(index) for index, name in enumerate(self.pairs.image_ids))

    def image_place(self, image: int) -> str:
        """Return the position of an image: its row, counted from 0, and its id."""
        row = f"row {image * self.copies}" if self.features else ""
        name = self.pairs.image_ids[image] if self.pairs and (self.has_ids or not row) else ""
        return f"{row} ({name})" if row and name else row or name

    def caption_place(self, caption: int) -> str:
        """Return the position of a caption: its line, counted from 1, or the image that it describes."""
        if self.caption_file is not None or self.pairs is None:
            return f"line {caption + 1}"
        return self.image_place(int(self.pairs.image_of[caption]))

    @property
    def caption_path(self) -> str | None:
        """The caption file, for a finding."""
        return None if self.caption_file is None else str(self.caption_file)

    @property
    def image_path(self) -> str | None:
        """The feature file, for a finding."""
        return None if self.features is None else str(self.features.path)

    def report_skipped(self) -> list[Finding]:
        """Return a finding for each kind of reason why pictures were skipped to open the split."""
        named: dict[tuple[str, str], list[str]] = {}
        # Absent files come first among the refusals, so that the remedy is about them.
        known = {
            ABSENT: ("not there", self.refusals[0].remedy if self.refusals else ""),
            WITHOUT_CAPTION: ("without a caption", f"Write one for each, {SKIP}."),
        }
        unreadable = ("that cannot be read", f"Copy them again, or convert them to JPEG or PNG, {SKIP}.")
        for name, reason in (self.pairs.skipped if self.pairs else {}).items():
            named.setdefault(known.get(reason, unreadable), []).append(name if reason in known else f"{name}: {reason}")
        return [
            Finding(
                self.refused_level,
                self.name,
                f"{pluralise(len(names), 'picture')} {what}.",
                remedy,
                self.refusals[0].file,
                show_first(names, str),
                len(names),
            )
            for (what, remedy), names in named.items()
        ]

    def report_refusals(self) -> list[Finding]:
        """Return a finding for each reason why the split cannot be opened."""
        return [
            Finding(self.refused_level, self.name, error.problem, error.remedy, error.file) for error in self.refusals
        ]


def choose_source(whole: DataSource, options: OpenOptions, *, pictures: bool) -> DataSource:
    """Return the data set, or either its features or its pictures if it has both.

    Raises:
        DataError: for a folder with neither.
    """
    sources = whole.list_sources(options)
    return next((one for one in sources if ("picture" in one.kinds) == pictures), sources[0])


def list_splits(source: DataSource, options: OpenOptions, chosen: Sequence[str]) -> list[str]:
    """Return the splits to check: the chosen ones, or the available and the required ones.

    Raises:
        DataError: if the data set is absent, or has no split of that name.
    """
    there = source.list_splits(options)
    expected = list(dict.fromkeys([*REQUIRED, *MEASURED, *there]))
    for name in chosen:
        if name not in expected:
            remedy = suggest_name(name, expected, f"Its splits are {', '.join(there)}.")
            raise DataError(f"{source.name} has no split {name!r}.", remedy=remedy)
    return list(chosen) or expected


def open_split(source: DataSource, name: str, options: OpenOptions, kinds: Sequence[str]) -> OpenSplit:
    """Open a split as far as possible.

    Args:
        source: the data set.
        name: the split.
        options: where to look.
        kinds: the kinds of images to check.
    """
    refusals: list[DataError] = []

    def attempt(read: Callable[..., Read], *arguments: object) -> Read | None:
        try:
            return read(*arguments)
        except DataError as error:
            if str(error) not in map(str, refusals):
                refusals.append(error)
            return None

    whole = replace(options, full_dev=True)
    pairs = attempt(source.open, name, kinds, options)
    used = 0 if pairs is None else len(pairs.image_ids)
    if pairs is not None and name == "dev":
        pairs = attempt(source.open, name, kinds, whole)
    files = SplitFiles()
    with suppress(DataError):  # the data are absent, as the refusal reports
        files = source.locate_split(name, options)
    features = attempt(FeatureFile.open, files.features) if files.features else None
    if pairs is not None and not refusals:
        return OpenSplit(name, (), pairs, used, pairs.captions, files.captions, features)
    captions = attempt(read_captions, files.captions) if files.captions else None
    lenient = replace(whole, check_values=False, on_bad_image="skip")
    if files.features:  # features are checked regardless of the requested kind
        pairs = attempt(source.open, name, KINDS, lenient)
    else:
        with suppress(DataError):  # already reported
            pairs = source.open(name, kinds, lenient)
    known = pairs.captions if pairs else captions or ()
    return OpenSplit(name, tuple(refusals), pairs, 0, known, files.captions, features)
