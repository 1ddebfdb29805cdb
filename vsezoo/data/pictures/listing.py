"""The common form of all picture layouts: the pictures of each split and their captions.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo.errors import DataError
from vsezoo.storage.plain_file import explain_unread, read_plain

if TYPE_CHECKING:
    from vsezoo.data.pictures.picture_file import Place

SYNONYMS = {
    "train": ("train", "training", "trn"),
    "dev": ("dev", "devel", "development", "val", "valid", "validate", "validation", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
"""Other names of the splits. A year may follow: `train2014`, `val2017`."""

SPLITS = ("train", "dev", "test", "testall", "restval")
"""Names that mark a folder or a shard as a split."""


@dataclass(slots=True)
class CaptionedImage:
    """A picture in a list.

    Attributes:
        name: its id, and the path of its file as listed.
        captions: its captions, in order.
        place: its location, if the list gives one; None: it is looked for by name.
        languages: of each caption, such as `en`; empty: they are not known.
    """

    name: str
    captions: list[str]
    place: Place | None = None
    languages: list[str] = field(default_factory=list)

    def add(self, captions: Sequence[str], languages: Sequence[str] = ()) -> None:
        """Add captions, and their languages if these are known."""
        if languages or self.languages:
            self.languages += [""] * (len(self.captions) - len(self.languages))
            self.languages += languages or [""] * len(captions)
        self.captions += captions

    def without_empty(self) -> CaptionedImage:
        """Return the image without empty captions."""
        kept = [index for index, caption in enumerate(self.captions) if caption]
        languages = [self.languages[index] for index in kept] if self.languages else []
        return CaptionedImage(self.name, [self.captions[index] for index in kept], self.place, languages)


@dataclass(frozen=True)
class Listing:
    """The pictures and captions of a data set.

    Attributes:
        folder: the folder of the pictures.
        file: the file named in messages, from which the listing was read.
        splits: the pictures of each split, in order.
        remedy: what to do if a requested split is missing.
        rule: how splits were assigned, such as `vsezoo.data.pictures.splits.DRAWN`; empty: by a list.
        layout: name of the layout; set when it is recognised.
        empty: positions of empty captions, such as "line 3", by picture id.
        bad: what is wrong with rows that were left out; an error unless bad images are skipped.
        unread: names of tables next to the one that was read.
        address: shown in the place of the folder, if this lists files on a server.
        left_out: number of pictures skipped by the layout, by reason.
        cut: number of captions beyond the first five of a picture, which are not used.
    """

    folder: Path
    file: Path
    splits: Mapping[str, Sequence[CaptionedImage]]
    remedy: str = ""
    rule: str = ""
    layout: str = ""
    empty: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    bad: Sequence[DataError] = ()
    unread: Sequence[str] = ()
    cut: int = 0
    address: str = ""


Find = Callable[[Path, Sequence[str]], Callable[[], Listing] | None]
"""Returns a reader if a folder containing these names has the layout, otherwise None."""


@functools.cache  # asked for each of 100,000 pictures, of few names
def name_split(text: str) -> str:
    """Return vsezoo's name of a split, such as `dev` for validation or val2014; see `SYNONYMS`."""
    name = text.strip().lower()
    stem = re.sub(r"(?<=[a-z])[-_]?20\d\d$", "", name)
    return next((split for split, names in SYNONYMS.items() if stem in names), name)


def clean_caption(text: str) -> str:
    """Return a caption with single spaces, without the trailing line feeds of some COCO captions."""
    return " ".join(text.split())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: for a file that cannot be read or contains something else.
    """
    remedy = "Download or copy the file again."
    try:
        with explain_unread(path, remedy=remedy):
            value = json.loads(read_plain(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}.", file=path, remedy=remedy) from None
    if not isinstance(value, dict):
        raise DataError("does not contain a JSON object.", file=path, remedy=remedy)
    return value
