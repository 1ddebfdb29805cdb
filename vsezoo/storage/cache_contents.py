"""What is in the cache folder: sizes, whether it is sound, and what can go."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vsezoo.errors import CheckpointError, VsezooError
from vsezoo.storage.cache import ANSWER, find_cache
from vsezoo.storage.checkpoint_layout import CONFIG, read_config
from vsezoo.storage.json_file import read_object
from vsezoo.storage.leftovers import list_leftovers, remove
from vsezoo.storage.plain_file import map_content, open_plain

TOPICS: Mapping[str, str] = {
    "embeddings": "embeddings of images and sentences, for searches",
    "features": "features unpacked from archives and other files",
    "frozen": "outputs of frozen parts, for training",
    "hub": "data sets of the Hub: their commits and files",
    "indexes": "copies of index folders on object storage",
    "models": "options and numbers of parameters of models, for `vsezoo show`",
    "opened": "checkpoints of pretrained weights of other libraries",
    "pictures": "pictures that were read whole",
    "rows": "row groups of Parquet files on servers",
    "samples": "the samples of shards",
    "verified": "weights whose digest was compared",
    "weights": "digests of pretrained weights",
}
"""The folders in the cache. Others are not ours: $VSEZOO_CACHE may name a folder that contains more."""


@dataclass(frozen=True)
class Topic:
    """A folder of the cache.

    Attributes:
        name: its name.
        description: what it contains.
        entries: number of files and folders in it.
        size: bytes of all files.
    """

    name: str
    description: str
    entries: int
    size: int


def list_topics(cache: Path | None = None) -> list[Topic]:
    """Return the folders of the cache, the largest first."""
    cache = cache or find_cache()
    topics = [
        Topic(folder.name, TOPICS[folder.name], len(list(folder.iterdir())), measure(folder))
        for folder in _list_folders(cache)
    ]
    return sorted(topics, key=lambda topic: (-topic.size, topic.name))


def measure(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder; links count as nothing."""
    if path.is_symlink():
        return 0
    if path.is_dir():
        return sum(map(measure, path.iterdir()))
    return path.stat().st_size if path.is_file() else 0


def find_damage(cache: Path | None = None) -> Iterator[tuple[Path, str]]:
    """Yield the entries of the cache that are damaged, each with the reason. Commands compute them again."""
    cache = cache or find_cache()
    for topic in _list_folders(cache):
        for entry in sorted(topic.iterdir()):
            try:
                _find_check(entry)(entry)
            except (VsezooError, OSError, ValueError) as error:
                yield entry, error.problem if isinstance(error, VsezooError) else f"{error}."


def clean(cache: Path | None = None, *, everything: bool = False) -> tuple[int, int]:
    """Remove what killed processes left and what is damaged, or everything.

    Returns:
        the number of files and folders that were removed, and their bytes.
    """
    cache = cache or find_cache()
    folders = _list_folders(cache)
    left = [path for folder in folders for path in list_leftovers(folder)]
    gone = folders if everything else [*left, *(entry for entry, _ in find_damage(cache))]
    size = sum(map(measure, gone))
    for item in gone:
        remove(item)
    return len(gone), size


def _list_folders(cache: Path) -> list[Path]:
    return [cache / name for name in TOPICS if (cache / name).is_dir()]


def _find_check(entry: Path) -> Callable[[Path], object]:
    if entry.suffix == ".json":
        return lambda file: read_object(file, ANSWER)
    if (entry / CONFIG).exists():
        return read_config
    if entry.is_dir():
        return _check_folder
    return _check_array if entry.suffix == ".npy" else lambda file: None


def _check_folder(folder: Path) -> None:
    for file in folder.iterdir():
        if file.suffix in (".safetensors", ".part"):
            check_embeddings(file)
        elif file.suffix == ".npy":
            _check_array(file)


def _check_array(file: Path) -> None:
    import numpy as np

    np.load(file, mmap_mode="r", allow_pickle=False)


def check_embeddings(file: Path) -> None:
    """Compare embeddings with the checksum in their file.

    Raises:
        CheckpointError: if they differ.
    """
    from vsezoo.storage.tensor_file import TensorFile

    remedy = "Remove it with `vsezoo cache clean`."
    with open_plain(file) as stream:
        content = map_content(stream)
    places = TensorFile(content, file, remedy).places
    if "checksum" not in places:
        raise CheckpointError("has no checksum.", file=file, remedy=remedy)
    checksum, view = 0, memoryview(content)
    for name in sorted(places.keys() - {"checksum"}, key=lambda name: places[name].start):
        checksum = zlib.crc32(view[places[name].start : places[name].end], checksum)
    place = places["checksum"]
    if struct.pack("<I", checksum) != bytes(view[place.start : place.end]):
        raise CheckpointError("was altered: it differs from its checksum.", file=file, remedy=remedy)
