"""What is written: pictures as they are in their files, with ids that every form can hold."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vsezoo.data.caption_file import group_by_image
from vsezoo.data.pictures.pairs import PicturePairs
from vsezoo.data.pictures.picture_file import Place
from vsezoo.data.pictures.walk import ENDINGS

FORMATS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"II*\x00": ".tif"}
"""What files of pictures begin with, and their suffixes."""


class Sample(NamedTuple):
    """A picture to write.

    Attributes:
        name: its id.
        split: name of the split.
        captions: its captions.
        place: where its bytes are.
        languages: of each caption; empty: they are not known.
    """

    name: str
    split: str
    captions: Sequence[str]
    place: Place
    languages: Sequence[str] = ()

    def read(self) -> bytes:
        """Return the bytes of the file, unchanged.

        Raises:
            AccessError, ServerError: when they cannot be read.
        """
        with self.place.open() as stream:
            return stream.read()


def list_samples(pairs: PicturePairs) -> list[Sample]:
    """Return the pictures of a split with their captions."""
    images, image_of = range(len(pairs.image_ids)), pairs.image_of.tolist()
    captions = group_by_image(pairs.captions, image_of, images)
    languages = group_by_image(pairs.languages, image_of if pairs.languages else (), images)
    return [
        Sample(name, pairs.split, texts, place, of_texts)
        for name, texts, place, of_texts in zip(pairs.image_ids, captions, pairs.places, languages, strict=True)
    ]


def is_path(name: str) -> bool:
    """Return whether an id can be the path of a file in a folder, and is read back as it is."""
    path = PurePosixPath(name)
    is_plain = name == posixpath.normpath(name) and not path.is_absolute() and ".." not in path.parts
    return is_plain and bool(path.name) and not any(part.startswith(".") for part in path.parts) and "\\" not in name


def choose_paths(samples: Sequence[Sample]) -> list[str]:
    """Return the path of each picture in a folder: its id, where that is possible and no other picture has it.

    Other pictures get their split and number: `dev/000012.jpg`.
    """
    taken = set[str]()
    paths = []
    for number, sample in enumerate(samples):
        path = sample.name
        if not is_path(path) or path.lower() in taken or any(str(one).lower() in taken for one in _parents(path)):
            path = f"{sample.split}/{number:06}{find_suffix(sample)}"
        taken.add(path.lower())
        paths.append(path)
    return paths


def find_suffix(sample: Sample) -> str:
    """Return the suffix of a picture: that of its id or of its file, else what its first bytes say."""
    for name in (sample.name, sample.place.file, sample.place.member):
        suffix = Path(name).suffix.lower()
        if suffix in ENDINGS:
            return suffix
    with sample.place.open() as stream:
        start = stream.read(12)
    if start[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in FORMATS.items() if start.startswith(magic)), ".jpg")


def _parents(path: str) -> list[PurePosixPath]:
    return list(PurePosixPath(path).parents)[:-1]
