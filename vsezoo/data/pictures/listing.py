"""What every layout of pictures is read into: which pictures a data set has in each split, and their captions.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo.errors import DataError

if TYPE_CHECKING:
    from vsezoo.data.pictures.picture_file import Place

SYNONYMS = {
    "train": ("train", "training", "trn"),
    "dev": ("dev", "devel", "development", "val", "valid", "validate", "validation", "eval", "evaluation"),
    "test": ("test", "testing", "tst"),
}
"""What others call the splits. A year may follow: `train2014`, `val2017`."""

SPLITS = ("train", "dev", "test", "testall", "restval")
"""The names by which a folder or a shard is known to be a split."""


@dataclass(slots=True)
class CaptionedImage:
    """A picture that a list names.

    Attributes:
        name: its id, and the path of its file as the list has it.
        captions: all of them, in their order.
        place: where it is, if the list says that; None: it is looked for by its name.
    """

    name: str
    captions: list[str]
    place: Place | None = None


@dataclass(frozen=True)
class Listing:
    """The pictures and captions of a data set.

    Attributes:
        folder: where the pictures are looked for.
        file: what says all this, to be named in messages.
        splits: the pictures of each split, in their order.
        remedy: what to do where a split is wanted that is not there.
        rule: how the pictures came into their splits, such as `vsezoo.data.pictures.splits.DRAWN`; empty: a list says.
        layout: by which it was read; set by what recognises it.
        empty: where empty captions stand, such as "line 3", by the ids of their pictures.
        left_out: how many pictures or captions the layout has left out, by the reasons.
    """

    folder: Path
    file: Path
    splits: dict[str, list[CaptionedImage]]
    remedy: str = ""
    rule: str = ""
    layout: str = ""
    empty: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


Find = Callable[[Path, Sequence[str]], Callable[[], Listing] | None]
"""Looks whether a folder, with files and folders of these names in it, has a layout, and returns what reads it then."""


def name_split(text: str) -> str:
    """Return how vsezoo calls a split, such as `dev` for validation or val2014; see `SYNONYMS`."""
    name = text.strip().lower()
    stem = re.sub(r"(?<=[a-z])[-_]?20\d\d$", "", name)
    return next((split for split, names in SYNONYMS.items() if stem in names), name)


def clean_caption(text: str) -> str:
    """Return a caption with single spaces, without the line feeds that some captions of COCO have at the end."""
    return " ".join(text.split())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DataError: for a file that cannot be read or holds something else.
    """
    remedy = "Download or copy the file again."
    try:
        value = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}.", file=path, remedy=remedy) from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not JSON: {error}.", file=path, remedy=remedy) from None
    if not isinstance(value, dict):
        raise DataError("does not hold a JSON object.", file=path, remedy=remedy)
    return value
