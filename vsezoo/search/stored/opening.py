"""Open an index folder: what a search needs of it, without the pictures, and without reading the vectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from torch import Tensor

from vsezoo import registry
from vsezoo.errors import DataError, UsageError
from vsezoo.interfaces import Similarity
from vsezoo.search.collection import Array, Block, Collection
from vsezoo.search.indexes import ExactRows, KeptRows, NearestRows, Rows
from vsezoo.search.sources import collect_images, collect_texts
from vsezoo.search.stored.checksums import verify_files
from vsezoo.search.stored.manifest import NAME, REBUILD, Manifest, read_manifest
from vsezoo.search.stored.table import Table, read_removed

LOOKS = 5
"""Times that a folder is read again if another process has replaced it in between."""

MakeNearest = Callable[[Tensor, Similarity, Literal["images", "texts"]], NearestRows]


class IndexedItems(Collection):
    """The items of an index folder. An item's number is that of its row.

    Args:
        folder: the index folder.
        manifest: what it contains.
        table: its rows.
        source: the collection it was built from, if it is known; by default it is looked for where it was.
    """

    skips = True

    def __init__(self, folder: Path, manifest: Manifest, table: Table, source: Collection | None = None) -> None:
        self.kind, self.name, self.place = manifest.kind, str(folder), manifest.place
        self.ids, self.texts = table.ids, table.texts
        self._keys, self._given, self._folder = table.keys, source, folder

    @property
    def title(self) -> str:
        """The name for output to others: that of the collection, else of the folder."""
        return Path(os.path.normpath(self.place or self.name)).name

    def keys(self) -> Array:
        """Return the keys as they were when the items were embedded."""
        return self._keys

    def read(self, items: Sequence[int]) -> Block:
        """Read items where they were when the index was built."""
        places = [self._places.get(self.ids[item]) for item in items]
        gone = {
            item: DataError("is no longer in the collection.", file=self.ids[item])
            for item, place in zip(items, places, strict=True)
            if place is None
        }
        present = [place for place in places if place is not None]
        read = self._source.read(present)
        back = dict(zip(present, [item for item in items if item not in gone], strict=True))
        return Block(read.content, gone | {back[place]: error for place, error in read.bad.items()})

    def sentence(self, item: int) -> str:
        """Return the sentence."""
        return self.texts[item] if self.texts else ""

    def find_picture(self, item: int) -> Path | None:
        """Return the file of a picture; None for other items, and for a path that leads out of the collection."""
        if self.kind != "picture" or not self.place:
            return None
        file = Path(self.place, self.ids[item])
        return file if Path(os.path.normpath(file)).is_relative_to(os.path.normpath(self.place)) else None

    def find_gone(self) -> list[str]:
        """Return the ids of items that are no longer where the index was built from, those removed before included."""
        return [name for name in self.ids if name not in self._places]

    @cached_property
    def _source(self) -> Collection:
        if self._given is not None:
            return self._given
        if not self.place:
            raise UsageError(
                "does not say where its items lie.",
                file=self._folder,
                remedy="Name the collection as well.",
            )
        return collect_texts(self.place) if self.is_text else collect_images(self.place)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {name: item for item, name in enumerate(self._source.ids)}


@dataclass(frozen=True)
class OpenedFolder:
    """What a search needs of an index folder.

    Attributes:
        manifest: what it contains.
        items: its items.
        rows: their vectors.
        make_nearest: opens the backend; takes the vectors, a similarity, and the side.
    """

    manifest: Manifest
    items: IndexedItems
    rows: Rows
    make_nearest: MakeNearest


def open_folder(folder: Path, source: Collection | None = None) -> OpenedFolder:
    """Open an index folder; the files stay valid even if another process changes the index.

    Args:
        folder: the index folder.
        source: the collection that it was built from, if it cannot be found where it was.

    Raises:
        UsageError: for a folder that is not an index.
        DataError: for a damaged index.
    """
    for look in range(LOOKS):
        manifest = read_manifest(folder)
        try:
            verify_files(folder, manifest)
            table = Table(folder, manifest)
            rows = table.as_rows(read_removed(folder, manifest))
        except FileNotFoundError as error:
            if look == LOOKS - 1:
                raise DataError("is missing.", file=error.filename, remedy=REBUILD) from None
            continue
        break
    backend: type[NearestRows] = registry.load("indexes", manifest.backend)

    def make(vectors: Tensor, similarity: Similarity, side: Literal["images", "texts"]) -> NearestRows:
        if issubclass(backend, KeptRows):
            try:
                return backend.open(folder, rows, manifest.state, similarity, side)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                problem = f"has a state that its backend {manifest.backend!r} cannot read: {error}."
                raise DataError(problem, file=folder / NAME, remedy=REBUILD) from error
        if issubclass(backend, ExactRows):
            return backend(vectors, similarity, side, rows.alive)
        return RenumberedRows(backend, rows, similarity, side)

    return OpenedFolder(manifest, IndexedItems(folder, manifest, table, source), rows, make)


class RenumberedRows(NearestRows):
    """A backend that is constructed from all rows, without those that were removed."""

    def __init__(
        self, backend: type[NearestRows], rows: Rows, similarity: Similarity, side: Literal["images", "texts"]
    ) -> None:
        vectors, alive = rows.vectors, rows.alive
        self._numbers = None if alive is None else alive.nonzero().flatten()
        chosen = vectors if self._numbers is None else vectors[self._numbers]
        self._nearest = backend(chosen.float(), similarity, side)

    def find(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Return the scores of the nearest rows and their row numbers; see `NearestRows.find`."""
        scores, numbers = self._nearest.find(queries, k)
        return scores, numbers if self._numbers is None else self._numbers.to(numbers.device)[numbers]
