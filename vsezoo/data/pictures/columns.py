"""Pictures and captions as columns of Arrow, of which millions take no more memory than their texts.

An object for each of two million rows would take gigabytes; here it is made when it is asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import overload

import numpy as np

from vsezoo.data.pictures.listing import CaptionedImage
from vsezoo.data.pictures.picture_file import Place
from vsezoo.data.pictures.row_file import PURPOSE
from vsezoo.data.pictures.rows import RowPlace
from vsezoo.data.pictures.text_columns import Array, Languages, LazyTexts, Texts
from vsezoo.errors import require_package


class RowPlaces(Sequence[Place]):
    """The places of pictures in rows of files.

    Args:
        files: the files.
        file_of: `(N,)`, the index of the file of each picture.
        rows: `(N,)`, its row in the file.
        spans: `(N, 2)`, where its bytes start in an Arrow file, and their number; None: all files are Parquet.
    """

    def __init__(self, files: Sequence[str], file_of: Array, rows: Array, spans: Array | None = None) -> None:
        self.files, self.file_of, self.rows, self.spans = files, file_of, rows, spans

    def __len__(self) -> int:
        """Return the number of pictures."""
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Place: ...
    @overload
    def __getitem__(self, index: slice) -> RowPlaces: ...
    def __getitem__(self, index: int | slice) -> Place | RowPlaces:
        """Return a place, or those of a slice."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        file, row = self.files[self.file_of[index]], int(self.rows[index])
        if self.spans is None or not file.endswith(".arrow"):
            return RowPlace(file, row, -1, f"row {row}")
        return Place(file, int(self.spans[index, 0]), int(self.spans[index, 1]), f"row {row}")

    @classmethod
    def join(cls, parts: Sequence[RowPlaces]) -> RowPlaces:
        """Return the places of several together."""
        files = [file for part in parts for file in part.files]
        firsts = np.cumsum([0, *(len(part.files) for part in parts)])
        file_of = [part.file_of + np.int32(first) for part, first in zip(parts, firsts, strict=False)]
        rows = np.concatenate([part.rows for part in parts])
        if all(part.spans is None for part in parts):
            return cls(files, np.concatenate(file_of), rows)
        spans = [np.zeros((len(part), 2), np.int64) if part.spans is None else part.spans for part in parts]
        return cls(files, np.concatenate(file_of), rows, np.concatenate(spans))

    def take(self, indices: Array) -> RowPlaces:
        """Return the places at these indices."""
        spans = None if self.spans is None else self.spans[indices]
        return RowPlaces(self.files, self.file_of[indices], self.rows[indices], spans)


class RowNames(LazyTexts):
    """Ids that are made from the file and the row of each picture.

    Args:
        labels: of the files.
        places: of the pictures.
        between: stands between the label and the row.
    """

    def __init__(self, labels: Sequence[str], places: RowPlaces, between: str = "/") -> None:
        self.labels, self.places, self._between = labels, places, between

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.places)

    def _make(self, index: int) -> str:
        return f"{self.labels[self.places.file_of[index]]}{self._between}{self.places.rows[index]}"

    def _make_several(self, indices: slice) -> list[str]:
        files, rows = self.places.file_of[indices].tolist(), self.places.rows[indices].tolist()
        return [f"{self.labels[file]}{self._between}{row}" for file, row in zip(files, rows, strict=True)]

    def take(self, indices: Array) -> RowNames:
        """Return the ids at these indices."""
        return RowNames(self.labels, self.places.take(indices), self._between)


class ImageColumns(Sequence[CaptionedImage]):
    """Images with their captions.

    Args:
        names: the id of each image.
        captions: those of all images, image after image.
        counts: `(N,)`, how many each image has, 1 or more.
        places: where each picture is; None: they are looked for by name.
        languages: of each caption; None: they are not known.
    """

    def __init__(
        self,
        names: Texts | RowNames,
        captions: Texts,
        counts: Array,
        places: RowPlaces | None,
        languages: Languages | None = None,
    ) -> None:
        self.names, self.captions, self.counts, self.places = names, captions, counts, places
        self.languages = languages

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.counts)

    @overload
    def __getitem__(self, index: int) -> CaptionedImage: ...
    @overload
    def __getitem__(self, index: slice) -> ImageColumns: ...
    def __getitem__(self, index: int | slice) -> CaptionedImage | ImageColumns:
        """Return an image, or the columns of a slice."""
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        start = int(self.counts[:index].sum())
        own = slice(start, start + int(self.counts[index]))
        languages = list(self.languages[own]) if self.languages else []
        place = self.places[index] if self.places else None
        return CaptionedImage(self.names[index], self.captions[own], place, languages)

    def __iter__(self) -> Iterator[CaptionedImage]:
        """Yield the images."""
        captions, languages = iter(self.captions), iter(self.languages or ())
        for index, (name, count) in enumerate(zip(self.names, self.counts.tolist(), strict=True)):
            texts, of_texts = [next(captions) for _ in range(count)], list(islice(languages, count))
            yield CaptionedImage(name, texts, self.places[index] if self.places else None, of_texts)

    def take(self, indices: Array) -> ImageColumns:
        """Return the images at these indices."""
        ends = np.cumsum(self.counts)
        counts = self.counts[indices]
        starts = np.repeat(ends[indices] - counts, counts)
        wanted = starts + np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        places = self.places.take(indices) if self.places else None
        languages = self.languages.take(wanted) if self.languages else None
        return ImageColumns(self.names.take(indices), self.captions.take(wanted), counts, places, languages)

    def merge(self, codes: Array) -> ImageColumns:
        """Return one image for each code, with the captions of all images of the code, in order.

        Args:
            codes: `(N,)`, from 0 on without a gap; codes of a lower number come up first.
        """
        order = np.argsort(np.repeat(codes, self.counts), kind="stable")
        firsts = np.unique(codes, return_index=True)[1]
        return ImageColumns(
            self.names.take(firsts),
            self.captions.take(order),
            np.bincount(codes, self.counts, len(firsts)).astype(self.counts.dtype),
            self.places.take(firsts) if self.places else None,
            self.languages.take(order) if self.languages else None,
        )

    @functools.cached_property
    def empty(self) -> Array:
        """Where captions are empty: their indices among all captions."""
        compute = require_package("pyarrow.compute", PURPOSE)
        found, start = [], 0
        for chunk in self.captions.column.chunks:
            bare = compute.match_substring_regex(chunk, r"^\s*$")
            found.append(np.flatnonzero(bare.to_numpy(zero_copy_only=False)) + start)
            start += len(chunk)
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def find_uncaptioned(self) -> list[int]:
        """Return the indices of images that have an empty caption."""
        if not len(self.empty):
            return []
        indices: list[int] = np.unique(np.searchsorted(np.cumsum(self.counts), self.empty, side="right")).tolist()
        return indices
