"""Resolve queries: a sentence, or an image named by split and index or id, by row of a feature file, or by file."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vsezoo.data.kinds import require_kind
from vsezoo.data.precomputed.feature_file import FeatureFile
from vsezoo.errors import AbsentDataError, DataError, UsageError, VsezooError, suggest_name
from vsezoo.inputs import PairDataset

if TYPE_CHECKING:
    from PIL import Image


FEATURES = re.compile(r"(.+\.npy)(?::(\S*))?")
"""`FILE.npy`, or `FILE.npy:ROW` with any text for the row."""


class NamedImage(NamedTuple):
    """An image that was named but is not read yet."""

    name: str
    source: str  # for messages: a file, or a split
    read: Callable[[list[int]], Any]  # returns the images of rows, like `PairDataset.images`
    row: int
    data: PairDataset | None = None  # the split, unless the image comes from a file


@dataclass(frozen=True)
class Query:
    """The meaning of a query.

    Attributes:
        name: the sentence, or the name of the image.
        image: the image; None for a sentence.
    """

    name: str
    image: NamedImage | None = None

    def read(self) -> Any:
        """Return the input for `Index.search_many`: a list with the sentence, or the image as a batch of one.

        Raises:
            DataError: for an image that cannot be read.
        """
        return [self.name] if self.image is None else self.image.read([self.image.row])


def resolve_query(
    query: str,
    kinds: Sequence[str],
    open_split: Callable[[], PairDataset],
    searched: Literal["images", "texts"] | None = None,
) -> Query:
    """Decide whether a query is a sentence or an image.

    Args:
        query: a sentence or an image file, to search images; or an image, to search sentences: an image file,
            `FILE.npy:ROW`, or an image of the split by its index or id.
        kinds: the kinds of images that the model takes.
        open_split: opens the split; called only if needed to resolve the query.
        searched: "images" are searched with a sentence or an image file, "texts" with an image. None: the query is an
            image if there is one of that name, otherwise a sentence.

    Raises:
        UsageError: for several images, or the name of a missing image.
        DataError: for a file of a kind that the model does not take, or without such a row.
    """
    split = functools.cache(open_split)
    is_file, is_picture = is_file_reference(query), is_picture_name(query)
    if searched == "images" and not (is_picture or (is_file and Path(query).suffix)):  # a file may be named `dog`
        return Query(query)
    is_named = is_file or is_picture or query.isdecimal()  # if there is no such image, it is a typing error
    if searched is None and not is_named and not is_image_of(query, split()):
        return Query(query)
    otherwise = "Or write a sentence of several words, in quotes." if searched is None else ""
    image, *more = find_images([query], kinds, split, otherwise=otherwise)
    if more:
        raise UsageError(
            f"{query!r} contains {len(more) + 1:,} images; a query is one image.",
            remedy=f"Name one of its rows, counted from 0, such as {image.name}",
        )
    return Query(image.name, image)


def find_images(
    references: Sequence[str],
    kinds: Sequence[str],
    open_split: Callable[[], PairDataset],
    rows: str = "",
    otherwise: str = "",
) -> list[NamedImage]:
    """Return the images of references, in order.

    Args:
        references: files (`FILE.npy`, `FILE.npy:ROW`, or a picture) or images of the split, by index or, for a number
            that is not an index, by id.
        kinds: the kinds of images that the model takes.
        open_split: opens the split; called once, if a reference needs it.
        rows: rows of each `FILE.npy`, such as `0-4,7`; empty: all.
        otherwise: an alternative remedy for unknown references.

    Raises:
        UsageError: for a reference that is neither a file nor an image of the split, or `rows` without a file with
            rows.
        DataError: for a file of a kind that the model does not take, or without such a row.
    """
    split = functools.cache(open_split)
    images: list[NamedImage] = []
    has_rows = False
    for reference in references:
        named = FEATURES.fullmatch(reference)
        if named:
            has_rows |= named[2] is None
            images += _find_rows(named[1], kinds, rows, named[2])
        elif _is_file(reference):
            require_kind(reference, "picture", kinds)
            images.append(NamedImage(reference, reference, functools.partial(_read_picture, reference), 0))
        else:
            data = _open_data(reference, split)
            row = _find_row(reference, data, otherwise)
            images.append(NamedImage(data.image_ids[row], f"{data.name}, {data.split} split", data.images, row, data))
    if rows and not has_rows:
        raise UsageError(
            "--rows needs a FILE.npy without :ROW.",
            remedy="Remove --rows, or name a FILE.npy without :ROW.",
        )
    return images


def is_file_reference(reference: str) -> bool:
    """Return whether a reference, possibly `FILE.npy:ROW`, is an existing file or looks like a feature file."""
    return FEATURES.fullmatch(reference) is not None or _is_file(reference)


def is_picture_name(reference: str) -> bool:
    """Return whether a reference is one word with the suffix of a picture, which a sentence seldom is."""
    from vsezoo.data.pictures.walk import ENDINGS

    return reference.lower().endswith(ENDINGS) and len(reference.split()) == 1


def is_image_of(reference: str, data: PairDataset) -> bool:
    """Return whether a reference is the index or the id of an image of a split."""
    return _is_index(reference, data) or reference in data.image_ids


def batch_images(images: Sequence[NamedImage], batch_size: int) -> Iterator[list[NamedImage]]:
    """Group consecutive images of the same source into batches."""
    batch: list[NamedImage] = []
    for image in images:
        if batch and (len(batch) == batch_size or image.source != batch[0].source):
            yield batch
            batch = []
        batch.append(image)
    if batch:
        yield batch


def _find_rows(path: str, kinds: Sequence[str], rows: str, row: str | None) -> list[NamedImage]:
    file = FeatureFile.open(Path(path))
    require_kind(path, "vector" if len(file.shape) == 2 else "regions", kinds)
    remedy = f"Its rows are 0 to {file.shape[0] - 1:,}."
    if row is not None and not row.isdecimal():
        raise DataError(f"{row!r} is not a row number.", file=path, remedy=remedy)
    chosen = _parse_rows(row or rows) if row or rows else range(file.shape[0])
    if max(chosen) >= file.shape[0]:
        raise DataError(f"has no row {max(chosen):,}.", file=path, remedy=remedy)
    return [NamedImage(f"{path}:{row}", path, file.read, row) for row in chosen]


def _is_file(reference: str) -> bool:
    """Return whether such a file exists; a sentence may be longer than a file name can be, for which `Path` raises."""
    return os.path.isfile(reference)  # noqa: PTH113


def _open_data(reference: str, split: Callable[[], PairDataset]) -> PairDataset:
    """Open the split for a reference that is not a file; a mistyped file name is more likely than unreadable data."""
    try:
        return split()
    except VsezooError as error:
        if reference.isdecimal():
            raise
        if is_picture_name(reference):
            reason, *_ = str(error).splitlines()
            remedy = f"Check the path. No data set could be opened to look for an image of that name: {reason}"
            raise AbsentDataError("does not exist.", file=reference, remedy=remedy) from None
        raise type(error)(
            f"{reference!r} is not a file, and no data set could be opened to look for it.\n{error}"
        ) from None


def _find_row(reference: str, data: PairDataset, otherwise: str) -> int:
    if not is_image_of(reference, data):
        last = len(data.image_ids) - 1
        advice = (
            f"Give an index from 0 to {last:,} or an id, such as {data.image_ids[0]}, or choose the split with --split."
        )
        raise UsageError(
            f"{reference!r} is neither a file nor an image of the {data.split} split of {data.name}.",
            remedy=suggest_name(reference, data.image_ids, " ".join(filter(None, [advice, otherwise]))),
        )
    return int(reference) if _is_index(reference, data) else list(data.image_ids).index(reference)


def _is_index(reference: str, data: PairDataset) -> bool:
    return reference.isdecimal() and int(reference) < len(data.image_ids)


def _parse_rows(rows: str) -> list[int]:
    chosen: list[int] = []
    for part in rows.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not found or int(found[2] or found[1]) < int(found[1]):
            raise UsageError(f"--rows {rows!r} is not a list of rows.", remedy="Example: --rows 0-4,7")
        chosen += range(int(found[1]), int(found[2] or found[1]) + 1)
    return chosen


def _read_picture(path: str, rows: list[int]) -> list[Image.Image]:
    from vsezoo.data.pictures.picture_file import read_only_picture  # Pillow is slow to import

    return [read_only_picture(path)]
