"""Write the regions of a detector's files as features that `--data` reads, in the order of a data set's images."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vsezoo.conversion.detection_files import DetectionFile, open_detections
from vsezoo.conversion.detections import Detections
from vsezoo.data.caption_file import find_unwritable, write_split
from vsezoo.data.lookup import find_source
from vsezoo.data.pictures.listing import CaptionedImage
from vsezoo.data.pictures.source import PictureSource
from vsezoo.data.precomputed.collected import Piece, write_pieces
from vsezoo.data.precomputed.feature_record import MARK, RECORD
from vsezoo.errors import DataError, UsageError, list_names, require_name
from vsezoo.storage.atomic_folder import replace_folder
from vsezoo.storage.checkpoint_layout import write_json
from vsezoo.storage.leftovers import remove_leftovers

LOOSE = "all"
"""The only split of regions without captions."""
ABSENT, WITHOUT_CAPTION = "has no regions in the files", "has no caption, or an empty one"
NAMED = 3


@dataclass(frozen=True)
class DetectedSplit:
    """What was written of a split.

    Attributes:
        split: its name.
        shape: of the features: images, most regions of an image, width.
        regions: number of regions of all images.
        captions: number of captions.
        skipped: reasons by the ids of images that were left out.
    """

    split: str
    shape: tuple[int, int, int]
    regions: int
    captions: int
    skipped: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DetectedFeatures:
    """What was written.

    Attributes:
        splits: of each split.
        unused: how many images of the files no split has.
        repeated: how many records were left out, since their image had come before.
    """

    splits: Sequence[DetectedSplit]
    unused: int
    repeated: int


class _Records:
    """The records of several files by image; of two with one id the first counts."""

    def __init__(self, files: Sequence[DetectionFile]) -> None:
        self.of: dict[str, DetectionFile] = {}
        for file in files:
            for name in file.ids:
                self.of.setdefault(name, file)
        self.repeated = sum(file.repeated + len(file.ids) for file in files) - len(self.of)
        self._by_key: dict[str, str] = {}
        for spell in (_find_stem, _find_number):
            keys = {name: spell(name) for name in self.of}
            counts = Counter(keys.values())
            self._by_key |= {key: name for name, key in keys.items() if key and counts[key] == 1}

    def find(self, image: str) -> str:
        """Return the id of an image's record: equal, or the same name without folder and ending, or the same number."""
        if image in self.of:
            return image
        return self._by_key.get(_find_stem(image)) or self._by_key.get(_find_number(image)) or ""

    def fetch(self, name: str) -> Detections:
        return self.of[name].fetch(name)


def _find_stem(name: str) -> str:
    return posixpath.splitext(posixpath.basename(name))[0]


def _find_number(name: str) -> str:
    """Return the number at the end of a name without zeros before it, in a form that no stem has: COCO's ids."""
    found = re.search(r"(\d+)$", _find_stem(name))
    return f"/{int(found[1])}" if found else ""


def write_detected(
    files: Sequence[Path],
    output: Path,
    data: str = "",
    *,
    root: Path | None = None,
    splits: Sequence[str] = (),
    dtype: str = "float32",
    on_bad_image: str = "error",
    advance: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> DetectedFeatures:
    """Write regions and their boxes to a folder that `--data` reads; whole or not at all.

    Args:
        files: TSV or LMDB, see `vsezoo.conversion.detection_files`.
        output: a new folder.
        data: a data set of pictures or a folder, whose list gives the splits, ids and captions; the pictures
            themselves need not be there. Empty: all images of the files, without captions, in their order.
        root: where registered data sets are looked for.
        splits: names of the splits to write; empty: all.
        dtype: float32 or float16.
        on_bad_image: "error": stop at an image without regions or caption, or a damaged record; "skip": leave it out.
        advance: receives a split, the images done and their total.

    Raises:
        UsageError: for an output that exists, or an unknown split.
        DataError: for data or files that are absent or damaged.
        StorageError: when the output cannot be written.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError("already exists.", file=output, remedy="Choose another --output.")
    opened: list[DetectionFile] = []
    try:
        opened.extend(map(open_detections, files))
        records = _Records(opened)
        images: dict[str, Sequence[CaptionedImage]] = {LOOSE: [CaptionedImage(name, []) for name in records.of]}
        if data:
            images = _list_images(data, root, splits)
        _require_distinct(images, records)
        remove_leftovers(output)
        written, used = [], set[str]()
        with replace_folder(output) as folder:
            for split, listed in images.items():
                writer = _SplitWriter(split, listed, records, on_bad_image == "skip", advance)
                written.append(writer.write(folder, dtype))
                used |= writer.used
            entries = {
                one.split: {"shape": one.shape, "captions": one.captions, "skipped": one.skipped} for one in written
            }
            settings = {"backbone": {"name": "detector"}, "dtype": dtype}
            record = {**MARK, "settings": settings, "files": [file.name for file in files], "splits": entries}
            write_json(folder / RECORD, record)
        return DetectedFeatures(written, len(records.of) - len(used), records.repeated)
    finally:
        for file in opened:
            file.close()


def _list_images(data: str, root: Path | None, wanted: Sequence[str]) -> dict[str, Sequence[CaptionedImage]]:
    from vsezoo.data.source import OpenOptions

    source = next((one for one in find_source(data).list_sources(OpenOptions(root)) if "picture" in one.kinds), None)
    if not isinstance(source, PictureSource):
        raise UsageError(f"{data!r} has no list of pictures with captions.", remedy="Give the folder of such a list.")
    there = {split: images for split, images in source.read(root).splits.items() if images}
    for split in wanted:
        require_name("split", split, list(there))
    return {split: there[split] for split in wanted or there}


def _require_distinct(images: dict[str, Sequence[CaptionedImage]], records: _Records) -> None:
    """Refuse two images that the same record would fit: `train/1.jpg`, `test/1.jpg` and the record `1`."""
    first: dict[str, str] = {}
    for listed in images.values():
        for image in listed:
            name = records.find(image.name)
            if name and first.setdefault(name, image.name) != image.name:
                raise DataError(
                    f"has the record {name}, which fits both {first[name]} and {image.name}.",
                    file=records.of[name].path,
                    remedy="Call the records by the whole ids of the images, as `vsezoo data check` shows them.",
                )


class _SplitWriter:
    def __init__(
        self,
        split: str,
        images: Sequence[CaptionedImage],
        records: _Records,
        skip: bool,
        advance: Callable[[str, int, int], None],
    ) -> None:
        self._split, self._records, self._skip, self._advance = split, records, skip, advance
        self._images = images
        self._skipped = self._find_bad()
        self._kept: list[CaptionedImage] = []
        self.used: set[str] = set()
        self._shape, self._regions = (0, 0), 0

    def _find_bad(self) -> dict[str, str]:
        bad = {image.name: ABSENT for image in self._images if not self._records.find(image.name)}
        if self._split != LOOSE:
            usable = any if self._skip else all
            bad |= {
                image.name: WITHOUT_CAPTION
                for image in self._images
                if not image.captions or not usable(image.captions)
            }
        bad |= dict.fromkeys(
            find_unwritable(image.name for image in self._images), "has a name that is not UTF-8 or has a line feed"
        )
        if bad and (not self._skip or len(bad) == len(self._images)):
            name, reason = next(iter(bad.items()))
            alike = [one for one, its in bad.items() if its == reason]
            known = list_names(list(self._records.of), NAMED)
            raise DataError(
                f"of the {len(self._images):,} images of the split {self._split}, {len(bad):,} cannot be written; "
                f"{name} {reason}{f', as {len(alike) - 1:,} more' if len(alike) > 1 else ''}.",
                file=next(iter(self._records.of.values())).path,
                remedy=f"Its ids are {known}. Give all files with --from, or --on-bad-image skip.",
            )
        return bad

    def write(self, folder: Path, dtype: str) -> DetectedSplit:
        """Write features, boxes, captions and ids."""
        target = folder / f"{self._split}_ims.npy"
        write_pieces(next(iter(self._records.of.values())).path, self._list_pieces(dtype), target)
        kept = [image.without_empty() for image in self._kept]
        captions, languages = [image.captions for image in kept], [image.languages for image in kept]
        write_split(folder / self._split, [image.name for image in kept], captions, languages)
        shape = (len(self._kept), *self._shape)
        return DetectedSplit(self._split, shape, self._regions, sum(map(len, captions)), self._skipped)

    def _list_pieces(self, dtype: str) -> Iterator[Piece]:
        import numpy as np

        for number, image in enumerate(self._images, start=1):
            self._advance(self._split, number, len(self._images))
            if image.name in self._skipped:
                continue
            name = self._records.find(image.name)
            try:
                found = self._records.fetch(name)
            except DataError as error:
                if not self._skip:
                    raise
                self._skipped[image.name] = error.problem.rstrip(".")
                continue
            self.used.add(name)
            self._kept.append(image)
            self._regions += len(found.features)
            self._shape = (max(self._shape[0], len(found.features)), found.features.shape[1])
            yield found.features.astype(dtype), np.array([len(found.features)]), found.boxes
