"""Texts as columns of Arrow: captions, ids and languages."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from vsezoo.data.pictures.listing import clean_caption
from vsezoo.data.pictures.row_file import PURPOSE
from vsezoo.errors import require_package

AT_ONCE = 10_000  # texts that an iteration converts together

Array = np.ndarray[Any, np.dtype[Any]]


class LazyTexts(Sequence[str]):
    """Texts that are made when they are asked for, many at a time if they are iterated."""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        """Return a text, or a list of them."""
        return self._make_several(index) if isinstance(index, slice) else self._make(index)

    def __iter__(self) -> Iterator[str]:
        """Yield the texts."""
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]

    @abstractmethod
    def _make(self, index: int) -> str: ...

    @abstractmethod
    def _make_several(self, indices: slice) -> list[str]: ...


class Texts(LazyTexts):
    """Texts of an Arrow column.

    Args:
        column: a `pyarrow.ChunkedArray` of strings without nulls.
        clean: return captions with single spaces.
    """

    def __init__(self, column: Any, *, clean: bool = False) -> None:
        self.column, self._clean = column, clean

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.column)

    def _make(self, index: int) -> str:
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self._read(self.column[int(index) % len(self)].as_py())

    def _make_several(self, indices: slice) -> list[str]:
        start, stop, step = indices.indices(len(self))
        if step != 1:
            return [self[one] for one in range(start, stop, step)]
        return [self._read(text) for text in self.column.slice(start, max(0, stop - start)).to_pylist()]

    def are_distinct(self) -> bool:
        """Return whether no text comes up twice, by a sum over the bytes of each that hardly ever is equal by chance.

        False may then be wrong; a table of all texts would take several times their memory.
        """
        sums = [_sum_bytes(chunk) for chunk in self.column.chunks]
        every = np.sort(np.concatenate(sums)) if sums else np.zeros(0, np.uint64)
        return bool((every[1:] != every[:-1]).all())

    def take(self, indices: Array) -> Texts:
        """Return the texts at these indices."""
        return Texts(self.column.take(indices), clean=self._clean)

    def _read(self, text: str) -> str:
        return clean_caption(text) if self._clean else text


def _sum_bytes(chunk: Any) -> Array:
    """Return for each text of a chunk of large strings the sum of its bytes by random weights of their positions."""
    _, places, content = chunk.buffers()
    ends = np.frombuffer(places, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
    lengths = np.diff(ends)
    weights = np.random.default_rng(0).integers(1, 2**63, int(lengths.max(initial=0)), np.uint64)  # alike in all chunks
    sums = lengths.astype(np.uint64)
    written = np.flatnonzero(lengths)  # `reduceat` would give an empty text the sum of another
    if len(written):
        codes = np.frombuffer(content, np.uint8)[ends[0] : ends[-1]].astype(np.uint64) + np.uint64(1)
        positions = np.arange(len(codes)) - np.repeat(ends[:-1] - ends[0], lengths)
        sums[written] += np.add.reduceat(codes * weights[positions], (ends[:-1] - ends[0])[written])
    return sums


class Languages(Sequence[str]):
    """The language of each caption.

    Args:
        names: the languages.
        codes: `(M,)`, the index of each caption's.
    """

    def __init__(self, names: Sequence[str], codes: Array) -> None:
        self.names, self.codes = names, codes

    def __len__(self) -> int:
        """Return the number of captions."""
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Languages: ...
    def __getitem__(self, index: int | slice) -> str | Languages:
        """Return a language, or those of a slice."""
        return self.take(index) if isinstance(index, slice) else self.names[self.codes[index]]

    def take(self, indices: Array | slice) -> Languages:
        """Return the languages of the captions at these indices."""
        return Languages(self.names, self.codes[indices])

    @classmethod
    def join(cls, parts: Sequence[Languages]) -> Languages:
        """Return the languages of several together."""
        names = list(dict.fromkeys(name for part in parts for name in part.names))
        own = [np.array([names.index(name) for name in part.names], np.int16)[part.codes] for part in parts]
        return cls(names, np.concatenate(own))


def is_text(types: Any, kind: Any) -> bool:
    """Return whether a type of Arrow is that of texts."""
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def encode_texts(columns: Sequence[Any]) -> tuple[list[str], Array]:
    """Return the distinct values of columns as texts, and the index of each row's."""
    arrow = require_package("pyarrow", PURPOSE)
    texts = [column.cast(arrow.large_string()).combine_chunks() for column in columns]
    found = arrow.chunked_array(texts, arrow.large_string()).combine_chunks().dictionary_encode()
    return found.dictionary.to_pylist(), found.indices.to_numpy()
