"""What can be searched: rows of a feature file, a data set's images, sentences; see `PictureFolder` too.

A collection knows its items by ids, and by keys that change when an item does. It reads them block by block.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vsezoo.data.caption_file import find_runs, read_lines
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.errors import DataError, ServerError
from vsezoo.interfaces import PairDataset
from vsezoo.search.sentence_file import Sentence
from vsezoo.storage.addresses import is_address, show_address
from vsezoo.storage.cache import identify

FEATURES, IDS = "_ims.npy", "_ids.txt"
"""How files of features and those of their ids end in the layouts of the field."""
KEY_BYTES = 16
ANY = "surrogatepass"
"""Names of files need not be UTF-8, and JSON can hold halves of characters."""
KEYED = 64
"""Images of a data set without files that are read at a time to tell whether they have changed."""

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Block:
    """Items that were read.

    Attributes:
        content: the items that could be read, as `encode_images` or `encode_texts` takes them.
        bad: why the others could not be, by their index in the collection.
    """

    content: Any
    bad: Mapping[int, DataError] = field(default_factory=dict)


class Collection(ABC):
    """Images or sentences in an order.

    Attributes:
        kind: a form of image, of `vsezoo.interfaces.KINDS`, or "text".
        name: what messages call the collection.
        place: where it is, the same at every call; empty: it is known by its content alone.
        skips: whether items that cannot be read are left out; else they are an error.
        skipped: what was left out before anything is read, and why, by the ids.
        ids: one for each item.
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

    @property
    def title(self) -> str:
        """The name that is shown to others: without the folders that it lies in."""
        return Path(os.path.normpath(self.place)).name if self.place else self.name

    def label(self, item: int) -> str:
        """Return the name of an item that is shown to others."""
        return self.ids[item]

    @abstractmethod
    def keys(self) -> Array:
        """Return for each item what changes when it does, `(N, 16)` uint8."""

    @abstractmethod
    def read(self, items: Sequence[int]) -> Block:
        """Read the items of these indices.

        Raises:
            DataError: for an item that cannot be read, unless such items are left out.
        """

    def find_picture(self, item: int) -> Any:
        """Return the picture of an item, a file or a `PIL.Image.Image`; None where it has none."""
        return None


class FeatureRows(Collection):
    """The rows of a feature file, each an image; `SPLIT_ids.txt` beside `SPLIT_ims.npy` names them, if it fits.

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
        """Return the name of the image, or that of the file, and the row."""
        return self._names[item] if self._names else f"{self.title}:{item}"

    def keys(self) -> Array:
        """Return the digests of the file's size and time of change, and the row."""
        stamp = str(identify(self._file.path))
        return _digest(f"{stamp} {row}".encode() for row in range(len(self.ids)))

    def read(self, items: Sequence[int]) -> Block:
        """Read rows."""
        return Block(self._file.read(items))


def _read_names(path: Path, rows: int) -> list[str]:
    """Return the ids of the images, which may stand once for each caption; none if there are others than rows."""
    if not path.name.endswith(FEATURES):
        return []
    with suppress(DataError):  # the rows can be searched without
        names, _ = find_runs(read_lines(path.with_name(f"{path.name.removesuffix(FEATURES)}{IDS}")))
        return names if len(names) == rows else []
    return []


class SplitImages(Collection):
    """The images of a data set's split."""

    def __init__(self, data: PairDataset) -> None:
        self._data = data
        self.kind, self.name, self.ids = data.kind, name_split(data), data.image_ids
        self.skipped = data.skipped

    def keys(self) -> Array:
        """Return the digests of the files' names, sizes and times of change; of features, those of the numbers."""
        if self._data.places:
            return digest_files((place.file, f"{place.name} {place.offset}") for place in self._data.places)
        blocks = (range(start, min(start + KEYED, len(self.ids))) for start in range(0, len(self.ids), KEYED))
        return _digest(np.asarray(image).tobytes() for block in blocks for image in self._data.images(block))

    def read(self, items: Sequence[int]) -> Block:
        """Read images."""
        return Block(self._data.images(items))

    def find_picture(self, item: int) -> Any:
        """Return the picture, of a data set of pictures."""
        if self._data.kind != "picture":
            return None
        return self._data.images([item])[0]


class Sentences(Collection):
    """Sentences, such as the captions of a data set.

    Args:
        sentences: with their ids.
        name: what messages call them.
        place: the file that they come from, if any.
        skipped: what was left out, and why.
        data: the split whose captions they are, if any.
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

    def keys(self) -> Array:
        """Return the digests of the sentences."""
        return _digest(text.encode(errors=ANY) for text in self.texts)

    def read(self, items: Sequence[int]) -> Block:
        """Return sentences."""
        return Block([self.texts[item] for item in items])


def name_split(data: PairDataset) -> str:
    """Return what messages call a split."""
    return f"{data.name}, {data.split} split"


def list_captions(data: PairDataset) -> list[Sentence]:
    """Return the captions of a split, each named by its image and its number among the captions of that image."""
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
    """Return the digests of names, and of the sizes and times of change of the files that they belong to, `(N, 16)`.

    Args:
        files: a path or an address, and a name, of each item; the same file may have several.

    Raises:
        ServerError: when a server does not tell of a file.
    """
    stamp = cache(_stamp)  # many pictures may be of one shard
    return _digest(f"{name} {stamp(file)}".encode(errors=ANY) for file, name in files)


def _stamp(file: str) -> tuple[int | str, ...]:
    try:
        if is_address(file):
            return identify(file)[1:]
        found = os.stat(file)  # noqa: PTH116  # a Path takes longer than all else
        return found.st_size, found.st_mtime_ns
    except OSError as error:
        if not is_address(file):
            return ()  # such as a link to nothing: what reads it reports why it cannot be read
        remedy = "Check that the server can be reached, and run the command again."
        raise ServerError(f"cannot be read: {error}.", file=show_address(file), remedy=remedy) from None
