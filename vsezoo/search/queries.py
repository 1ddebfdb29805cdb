"""What a query means: a sentence, or an image by its name, in a data set's split, in a feature file, or a picture."""

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
from vsezoo.errors import DataError, UsageError, VsezooError, suggest_name
from vsezoo.interfaces import PairDataset

if TYPE_CHECKING:
    from PIL import Image


FEATURES = re.compile(r"(.+\.npy)(?::(\S*))?")
"""`FILE.npy`, or `FILE.npy:ROW`, whatever stands there for a row."""


class NamedImage(NamedTuple):
    """An image that was named, not read yet."""

    name: str
    source: str  # what a mistake is about: a file, or a split
    read: Callable[[list[int]], Any]  # of rows, what `PairDataset.images` returns
    row: int


@dataclass(frozen=True)
class Query:
    """What a query means.

    Attributes:
        name: the sentence, or what the image is called.
        image: the image; None: it is a sentence.
    """

    name: str
    image: NamedImage | None = None

    def read(self) -> Any:
        """Return what `Index.search_many` takes: a list of the sentence, or the image in a batch of its own.

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
        query: a sentence, for which images are searched; or an image, for which sentences are: an image file,
            `FILE.npy:ROW`, or an image of the split by its index or its id.
        kinds: the forms of image that the model takes.
        open_split: opens the split; called if what the query means depends on it.
        searched: what is searched: "images" need a sentence, "texts" an image. None: either, so the query is an image
            if there is one of that name, and a sentence otherwise.

    Raises:
        UsageError: for an image where a sentence is needed, several images, or the name of an image that is not there.
        DataError: for a file of another kind than the model takes, or without such a row.
    """
    split = functools.cache(open_split)
    is_file, is_picture = is_file_reference(query), is_picture_name(query)
    if searched == "images":
        if is_picture or (is_file and Path(query).suffix):  # a file called `dog` may exist by chance
            raise UsageError(
                f"{query!r} is an image file, but images are searched with a sentence.",
                remedy="Give a sentence, or search sentences for this image with --texts FILE.",
            )
        return Query(query)
    is_named = is_file or is_picture or query.isdecimal()  # if there is no such image, it is mistyped
    if searched is None and not is_named and not is_image_of(query, split()):
        return Query(query)
    otherwise = "Or write a sentence of several words, in quotes." if searched is None else ""
    image, *more = find_images([query], kinds, split, otherwise=otherwise)
    if more:
        raise UsageError(
            f"{query!r} contains {len(more) + 1:,} images; sentences are searched with one image.",
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
    """Return the images that references mean, in their order.

    Args:
        references: each a file (`FILE.npy` or `FILE.npy:ROW`, or a picture) or an image of the split, by its index or,
            where there are not so many, its id.
        kinds: the forms of image that the model takes.
        open_split: opens the split; called once, if a reference wants it.
        rows: which rows of each `FILE.npy`, such as `0-4,7`; empty: all.
        otherwise: what else to do about a reference that means nothing.

    Raises:
        UsageError: for what is neither a file nor an image of the split, or `rows` without a file that has rows.
        DataError: for a file of another kind than the model takes, or without such a row.
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
            images.append(NamedImage(data.image_ids[row], f"{data.name}, {data.split} split", data.images, row))
    if rows and not has_rows:
        raise UsageError(
            "--rows chooses among the rows of a FILE.npy, and no such file is named as a whole.",
            remedy="Leave --rows out, or name FILE.npy without :ROW.",
        )
    return images


def is_file_reference(reference: str) -> bool:
    """Tell whether a reference names a file, `FILE.npy:ROW` included, that is there or looks like one of features."""
    return FEATURES.fullmatch(reference) is not None or _is_file(reference)


def is_picture_name(reference: str) -> bool:
    """Tell whether a reference ends like the name of a picture file and is one word, which a sentence seldom is."""
    from vsezoo.data.pictures.walk import ENDINGS

    return reference.lower().endswith(ENDINGS) and len(reference.split()) == 1


def is_image_of(reference: str, data: PairDataset) -> bool:
    """Tell whether a reference is the index or the id of an image of a split."""
    return _is_index(reference, data) or reference in data.image_ids


def batch_images(images: Sequence[NamedImage], batch_size: int) -> Iterator[list[NamedImage]]:
    """Cut images into batches of neighbours from the same source."""
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
        raise DataError(f"{row!r} is no row.", file=path, remedy=remedy)
    chosen = _parse_rows(row or rows) if row or rows else range(file.shape[0])
    if max(chosen) >= file.shape[0]:
        raise DataError(f"has no row {max(chosen):,}.", file=path, remedy=remedy)
    return [NamedImage(f"{path}:{row}", path, file.read, row) for row in chosen]


def _is_file(reference: str) -> bool:
    """Tell whether there is such a file; a sentence may be longer than a name can be, which `Path` does not bear."""
    return os.path.isfile(reference)  # noqa: PTH113


def _open_data(reference: str, split: Callable[[], PairDataset]) -> PairDataset:
    """Open the split for a reference that is no file; a mistyped name of one is more likely than data that fail."""
    try:
        return split()
    except VsezooError as error:
        if reference.isdecimal():
            raise
        if is_picture_name(reference):
            reason, *_ = str(error).splitlines()
            remedy = f"Check the path. No data can be opened to look for an image of that name: {reason}"
            raise DataError("is no file.", file=reference, remedy=remedy) from None
        raise type(error)(f"{reference!r} is no file, and no data can be opened to look for it.\n{error}") from None


def _find_row(reference: str, data: PairDataset, otherwise: str) -> int:
    if not is_image_of(reference, data):
        last = len(data.image_ids) - 1
        advice = f"Give an index from 0 to {last:,} or an id, such as {data.image_ids[0]}, or the split with --split."
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
            raise UsageError(f"--rows {rows!r} is no list of rows.", remedy="Example: --rows 0-4,7")
        chosen += range(int(found[1]), int(found[2] or found[1]) + 1)
    return chosen


def _read_picture(path: str, rows: list[int]) -> list[Image.Image]:
    from vsezoo.data.pictures.picture_file import (  # Pillow is wanted for pictures alone, and slow to import
        SKIP,
        read_picture,
    )

    try:
        return [read_picture(path)]
    except DataError as error:  # a picture that was asked for cannot be left out
        raise DataError(error.problem, file=error.file, remedy=error.remedy.replace(f", {SKIP}", "")) from None
