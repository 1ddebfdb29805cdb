"""The splits of a data set as the doctor opens them: as far as they can be read, whatever is wrong."""

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
from vsezoo.errors import DataError, suggest_name
from vsezoo.interfaces import KINDS, PairDataset

REQUIRED = ("train", "dev")
"""The splits without which there is no training."""

MEASURED = ("test",)
"""The split that a training opens before it begins, reads at its end, and does without if it cannot be opened."""

Read = TypeVar("Read")


@dataclass(frozen=True)
class OpenSplit:
    """A split as far as it can be read.

    Attributes:
        name: `train`, `dev`, `test`, ….
        refusals: why a training cannot open it; the first is what it would say. None: it opens.
        pairs: all of it; None where the files do not fit together. Of features, nobody has looked at the values yet.
        used: how many of its images, from the first, a training or an evaluation reads.
        captions: those of `pairs`, or else of the file alone.
        caption_file: of which line i + 1 is caption i; None where captions come from elsewhere.
        features: the file that the images are rows of; None where they come from elsewhere.
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
        """Whether there is anything to look at."""
        return self.pairs is not None or self.features is not None or bool(self.captions)

    @property
    def kind(self) -> str | None:
        """The form of its images."""
        if self.pairs is not None:
            return self.pairs.kind
        return None if self.features is None else "vector" if len(self.features.shape) == 2 else "regions"

    @property
    def image_shape(self) -> tuple[int, ...] | None:
        """The shape of an image; None of pictures, each of which has its own."""
        if self.features is not None:
            return self.features.shape[1:]
        return self.pairs.image_shape if self.pairs is not None and self.pairs.kind != "picture" else None

    @property
    def refused_level(self) -> str:
        """How bad it is that the split does not open."""
        return "error" if self.name in REQUIRED else "warning"

    def level(self, images: Iterable[int]) -> str:
        """Return how bad it is that these images cannot be read."""
        if self.refusals:
            return self.refused_level
        is_read = any(image < self.used for image in images)
        return "error" if is_read and self.name in (*REQUIRED, *MEASURED) else "warning"

    @property
    def copies(self) -> int:
        """How many rows of the features file an image has."""
        return self.features.shape[0] // len(self.pairs.image_ids) if self.features and self.pairs else 1

    @property
    def has_ids(self) -> bool:
        """Whether the images have names of their own, not their indices alone."""
        return self.pairs is not None and any(name != str(index) for index, name in enumerate(self.pairs.image_ids))

    def image_place(self, image: int) -> str:
        """Return where an image is: its row, counted from 0, and its id."""
        row = f"row {image * self.copies}" if self.features else ""
        name = self.pairs.image_ids[image] if self.pairs and (self.has_ids or not row) else ""
        return f"{row} ({name})" if row and name else row or name

    def caption_place(self, caption: int) -> str:
        """Return where a caption is: its line, counted from 1, or the image that it describes."""
        if self.caption_file is not None or self.pairs is None:
            return f"line {caption + 1}"
        return self.image_place(int(self.pairs.image_of[caption]))

    @property
    def caption_path(self) -> str | None:
        """The file of the captions, for a finding."""
        return None if self.caption_file is None else str(self.caption_file)

    @property
    def image_path(self) -> str | None:
        """The file of the features, for a finding."""
        return None if self.features is None else str(self.features.path)

    def report_skipped(self) -> list[Finding]:
        """Return a finding for each kind of reason why pictures had to be left out to open the split at all."""
        named: dict[tuple[str, str], list[str]] = {}
        # Files that are not there are what a split is refused for first, so that its remedy is theirs.
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
                f"{len(names):,} picture{'s' * (len(names) > 1)} {what}.",
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
    """Return the data set, or of one that has features and pictures apart, one of the two.

    Raises:
        DataError: for a folder that has neither.
    """
    sources = whole.list_sources(options)
    return next((one for one in sources if ("picture" in one.kinds) == pictures), sources[0])


def list_splits(source: DataSource, options: OpenOptions, chosen: Sequence[str]) -> list[str]:
    """Return the splits to look at: the chosen ones, or else those that are there and those that should be.

    Raises:
        DataError: when the data set is not there, or has none of that name.
    """
    there = source.list_splits(options)
    expected = list(dict.fromkeys([*REQUIRED, *MEASURED, *there]))
    for name in chosen:
        if name not in expected:
            remedy = suggest_name(name, expected, f"Its splits are {', '.join(there)}.")
            raise DataError(f"{source.name} has no split {name!r}.", remedy=remedy)
    return list(chosen) or expected


def open_split(source: DataSource, name: str, options: OpenOptions, kinds: Sequence[str]) -> OpenSplit:
    """Open a split as far as that is possible.

    Args:
        source: the data set.
        name: the split.
        options: where to look.
        kinds: the forms of image to look at.
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
    with suppress(DataError):  # the data are absent, which the refusal says
        files = source.locate_split(name, options)
    features = attempt(FeatureFile.open, files.features) if files.features else None
    if pairs is not None and not refusals:
        return OpenSplit(name, (), pairs, used, pairs.captions, files.captions, features)
    captions = attempt(read_captions, files.captions) if files.captions else None
    lenient = replace(whole, check_values=False, on_bad_image="skip")
    if files.features:  # they are looked at whatever form was asked for
        pairs = attempt(source.open, name, KINDS, lenient)
    else:
        with suppress(DataError):  # what is wrong is known
            pairs = source.open(name, kinds, lenient)
    known = pairs.captions if pairs else captions or ()
    return OpenSplit(name, tuple(refusals), pairs, 0, known, files.captions, features)
