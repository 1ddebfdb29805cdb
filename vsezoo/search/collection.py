"""Collections that can be searched: rows of a feature file, images of a split, sentences; see also `PictureFolder`.

Items have ids, and keys that change when an item changes. They are read block by block.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vsezoo.data.caption_file import find_runs, read_lines
from vsezoo.data.kinds import ShowsPictures
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.errors import DataError, ServerError
from vsezoo.inputs import PairDataset
from vsezoo.search.sentence_file import Sentence
from vsezoo.storage.addresses import is_address, show_address
from vsezoo.storage.cache import identify

FEATURES, IDS = "_ims.npy", "_ids.txt"
"""Suffixes of feature files and of their id files in the layouts of the field."""
KEY_BYTES = 16
ANY = "surrogatepass"
"""File names need not be valid UTF-8, and JSON can contain unpaired surrogates."""
KEYED = 64
"""Number of images of a data set without files that are read at a time to detect changes."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Block:
    """The result of reading some items.

    Attributes:
        content: the readable items, as `encode_images` or `encode_texts` takes them.
        bad: errors by the collection indices of the others.
    """

    content: Any
    bad: Mapping[int, DataError] = field(default_factory=dict)


class Collection(ABC):
    """An ordered collection of images or sentences.

    Attributes:
        kind: a kind of image, of `vsezoo.interfaces.KINDS`, or "text".
        name: name in messages.
        place: location, the same at every call; empty: the collection is identified by its content only.
        skips: whether unreadable items are skipped; if not, they are an error.
        skipped: reasons by the ids of items that were skipped before reading.
        ids: id of each item.
    """

    kind: str
    name: str
    place: str = ""
    skips: bool = False
    skipped: Mapping[str, str] = MappingProxyType({})
    ids: Sequence[str]

    @property
    def is_text(self) -> bool:
        """Whether the items are sentences."""
        return self.kind == "text"

    @cached_property
    def title(self) -> str:
        """The name for output to others: without the folders that contain it."""
        return Path(os.path.normpath(self.place)).name if self.place else self.name

    @property
    def has_pictures(self) -> bool:
        """Whether `find_picture` finds pictures."""
        return self.kind == "picture"

    def label(self, item: int) -> str:
        """Return the name of an item for output to others."""
        return self.ids[item]

    def sentence(self, item: int) -> str:
        """Return the sentence of an item; empty for an image."""
        return ""

    @abstractmethod
    def keys(self) -> Array:
        """Return a key for each item that changes when the item does, `(N, 16)` uint8."""

    @abstractmethod
    def read(self, items: Sequence[int]) -> Block:
        """Read the items of these indices.

        Raises:
            DataError: for an item that cannot be read, unless such items are skipped.
        """

    def find_picture(self, item: int) -> Any:
        """Return the picture of an item, a file or a `PIL.Image.Image`; None if it has none."""
        return None


class FeatureRows(Collection):
    """The rows of a feature file, one image each, named by `SPLIT_ids.txt` if it belongs to `SPLIT_ims.npy` and fits.

    Args:
        path: a `.npy` file, `(N, F)` or `(N, R, F)`.
    """

    def __init__(self, path: Path) -> None:
        self._file = FeatureFile.open(path)
        self.kind = "vector" if len(self._file.shape) == 2 else "regions"
        self.name, self.place = str(path), str(path.absolute())
        self._names = _read_names(path, self._file.shape[0])
        self.ids = self._names or [f"{path}:{row}" for row in range(self._file.shape[0])]

    def label(self, item: int) -> str:
        """Return the name of the image or of the file, and the row."""
        return self._names[item] if self._names else f"{self.title}:{item}"

    def keys(self) -> Array:
        """Return digests of the size and modification time of the file, and the row."""
        stamp = str(identify(self._file.path))
        return _digest(f"{stamp} {row}".encode() for row in range(len(self.ids)))

    def read(self, items: Sequence[int]) -> Block:
        """Read rows."""
        return Block(self._file.read(items))


def _read_names(path: Path, rows: int) -> list[str]:
    """Return the ids of the images, which may be repeated for each caption; none unless each row has one."""
    if not path.name.endswith(FEATURES):
        return []
    with suppress(DataError):  # rows can be searched without ids
        names, _ = find_runs(read_lines(path.with_name(f"{path.name.removesuffix(FEATURES)}{IDS}")))
        return names if len(names) == rows else []
    return []


class SplitImages(Collection):
    """The images of a split."""

    def __init__(self, data: PairDataset) -> None:
        self._data = data
        self.kind, self.name, self.ids = data.kind, name_split(data), data.image_ids
        self.skipped = data.skipped

    def keys(self) -> Array:
        """Return digests of names, sizes and modification times of the files; for features, digests of the numbers."""
        if self._data.places:
            return digest_files((place.file, f"{place.name} {place.offset}") for place in self._data.places)
        blocks = (range(start, min(start + KEYED, len(self.ids))) for start in range(0, len(self.ids), KEYED))
        return _digest(np.asarray(image).tobytes() for block in blocks for image in self._data.images(block))

    def read(self, items: Sequence[int]) -> Block:
        """Read images."""
        return Block(self._data.images(items))

    @property
    def has_pictures(self) -> bool:
        """Whether the data set has pictures, which may be those of its features."""
        return self.kind == "picture" or isinstance(self._data, ShowsPictures)

    def find_picture(self, item: int) -> Any:
        """Return the picture, if the data set has pictures."""
        if self.kind == "picture":
            return self._data.images([item])[0]
        return self._data.picture(item) if isinstance(self._data, ShowsPictures) else None


class Sentences(Collection):
    """Sentences, such as the captions of a data set.

    Args:
        sentences: sentences with ids.
        name: name in messages.
        place: the file that they come from, if any.
        skipped: reasons by the ids of skipped sentences.
        data: the split that they are captions of, if any.
    """

    kind = "text"

    def __init__(
        self,
        sentences: Sequence[Sentence],
        name: str,
        place: str = "",
        skipped: Mapping[str, str] = MappingProxyType({}),
        data: PairDataset | None = None,
    ) -> None:
        self.name, self.place, self.skipped, self.data = name, place, skipped, data
        self.ids = [sentence.id for sentence in sentences]
        self.texts = [sentence.text for sentence in sentences]

    def sentence(self, item: int) -> str:
        """Return the sentence."""
        return self.texts[item]

    def keys(self) -> Array:
        """Return the digests of the sentences."""
        return _digest(text.encode(errors=ANY) for text in self.texts)

    def read(self, items: Sequence[int]) -> Block:
        """Return sentences."""
        return Block([self.texts[item] for item in items])


def name_split(data: PairDataset) -> str:
    """Return the name of a split in messages."""
    return f"{data.name}, {data.split} split"


def list_captions(data: PairDataset) -> list[Sentence]:
    """Return the captions of a split, named by the image and the number of the caption."""
    counts: Counter[int] = Counter()
    captions = []
    for image, text in zip(data.image_of.tolist(), data.captions, strict=True):
        captions.append(Sentence(f"{data.image_ids[image]}#{counts[image]}", text))
        counts[image] += 1
    return captions


def _digest(contents: Iterable[bytes]) -> Array:
    digests = b"".join(hashlib.blake2b(content, digest_size=KEY_BYTES).digest() for content in contents)
    return np.frombuffer(digests, np.uint8).reshape(-1, KEY_BYTES)


def digest_files(files: Iterable[tuple[str, str]]) -> Array:
    """Return digests of names, and of the sizes and modification times of their files, `(N, 16)`.

    Args:
        files: path or URL, and name, of each item; several items may share a file.

    Raises:
        ServerError: when a server does not identify a file.
    """
    stamp = cache(_stamp)  # many pictures may be in one shard
    return _digest(f"{name} {stamp(file)}".encode(errors=ANY) for file, name in files)


def _stamp(file: str) -> tuple[int | str, ...]:
    try:
        if is_address(file):
            return identify(file)[1:]
        found = os.stat(file)  # noqa: PTH116  # Path would take most of the time
        return found.st_size, found.st_mtime_ns
    except OSError as error:
        if not is_address(file):
            return ()  # for example a broken link: the reader reports the reason
        remedy = "Check that the server can be reached, and run the command again."
        raise ServerError(f"cannot be read: {error}.", file=show_address(file), remedy=remedy) from None
