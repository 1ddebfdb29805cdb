"""Which images of a folder may be results: those of a time, of a folder, and of copies one."""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from PIL import ExifTags, Image

from vsezoo.data.pictures.likeness import Sketch, can_compare, find_near, sketch
from vsezoo.data.pictures.picture_file import read_picture
from vsezoo.errors import DataError, UsageError
from vsezoo.search.collection import Collection
from vsezoo.search.hit import Hit

GROWTH = 4  # times as many results are asked for when too few pass
TAKEN = (ExifTags.Base.DateTimeOriginal, ExifTags.Base.DateTimeDigitized, ExifTags.Base.DateTime)


@dataclass
class Filters:
    """Conditions for results; see `search_filtered`.

    Attributes:
        collection: the collection that is searched.
        since: only pictures taken at this time or later; None: all.
        folder: only ids in this folder, or that match this pattern (`2024/*`); empty: all.
        unique: of equal pictures, and of nearly equal ones where ImageHash is installed, only the best.
    """

    collection: Collection
    since: datetime | None = None
    folder: str = ""
    unique: bool = False
    _digests: set[bytes] = field(default_factory=set)
    _sketches: list[Sketch | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        has_files = self.collection.kind == "picture" and not self.collection.is_text
        if not has_files and (self.since or self.unique):
            raise UsageError("--since and --unique are for pictures in files.")

    @property
    def is_empty(self) -> bool:
        """Whether every image passes."""
        return self.since is None and not self.folder and not self.unique

    def choose(self, hits: Sequence[Hit], k: int) -> list[Hit]:
        """Return the first `k` hits that pass, ranked again."""
        self._digests.clear()
        self._sketches.clear()
        chosen: list[Hit] = []
        for hit in hits:
            if len(chosen) < k and self._passes(hit):
                chosen.append(dataclasses.replace(hit, rank=len(chosen) + 1))
        return chosen

    def _passes(self, hit: Hit) -> bool:
        if self.folder and not _is_in(hit.id, self.folder):
            return False
        picture = self.collection.find_picture(hit.item)
        if self.since and (not isinstance(picture, Path) or find_time(picture) < self.since):
            return False
        return not self.unique or self._is_new(picture)

    def _is_new(self, picture: Path | Image.Image | None) -> bool:
        """Return whether a picture is unlike all that have passed; note it."""
        if picture is None:
            return True
        try:
            content = read_picture(picture) if isinstance(picture, Path) else picture
        except DataError:  # it was there when it was embedded
            return True
        digest = hashlib.blake2b(content.tobytes(), digest_size=16).digest()
        sketched = sketch(content) if can_compare() else None
        if digest in self._digests or next(find_near(self._sketches, [sketched]), None) is not None:
            return False
        self._digests.add(digest)
        self._sketches.append(sketched)
        return True


def search_filtered(search: Callable[[int], list[Hit]], filters: Filters, k: int, size: int) -> list[Hit]:
    """Return the `k` best results that pass, asking for more results until enough do.

    Args:
        search: returns so many results, best first.
        filters: the conditions.
        k: number of results.
        size: number of searchable items.
    """
    if filters.is_empty:
        return search(k)
    wanted = k
    while True:
        wanted = min(wanted * GROWTH, size)
        chosen = filters.choose(search(wanted), k)
        if len(chosen) == k or wanted == size:
            return chosen


def read_time(text: str) -> datetime:
    """Return the time that `--since` means: a year, a month, a day, or a time as ISO 8601 writes it.

    Raises:
        UsageError: for anything else.
    """
    for form in ("%Y", "%Y-%m"):
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise UsageError(f"{text!r} is not a date.", remedy="Examples: --since 2024, --since 2024-07-31") from None


def find_time(file: Path) -> datetime:
    """Return when a picture was taken, as its EXIF data say; of others, when the file was last changed."""
    try:
        with Image.open(file) as picture:
            exif = picture.getexif()
            values = {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except Exception:  # decoders raise anything for damaged data
        values = {}
    for tag in TAKEN:
        try:
            return datetime.strptime(str(values.get(tag, ""))[:19], "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
    try:
        return datetime.fromtimestamp(file.stat().st_mtime)
    except OSError:
        return datetime.min


def _is_in(name: str, folder: str) -> bool:
    wanted = folder.rstrip("/")
    return name.startswith(f"{wanted}/") or f"/{wanted}/" in f"/{name}" or fnmatch.fnmatchcase(name, folder)
