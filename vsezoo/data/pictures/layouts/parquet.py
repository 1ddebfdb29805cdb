"""Parquet and Arrow files as the Hub and the library `datasets` have them: pictures as bytes or paths, and captions.

Files on a server are named in `shards.txt`, as WebDataset's shards are.
"""

from __future__ import annotations

import functools
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from vsezoo.data.pictures.listing import SPLITS, Listing, name_split
from vsezoo.data.pictures.shard_list import LIST, read_list
from vsezoo.data.pictures.splits import (
    BY_COLUMN,
    BY_FILE,
    DRAWN,
    REMEDY_DRAWN,
    REMEDY_WORDS,
    assign_splits,
    draw_all,
    find_split,
    find_word,
    normalise_path,
)
from vsezoo.data.pictures.table_columns import SPLIT_COLUMN
from vsezoo.data.precomputed.split_files import IMAGES
from vsezoo.errors import DataError
from vsezoo.storage.addresses import is_address, show_address
from vsezoo.storage.waiting import report_done

if TYPE_CHECKING:
    from vsezoo.data.pictures.columns import ImageColumns
    from vsezoo.data.pictures.row_columns import FileColumns

ENDINGS = (".parquet", ".arrow")
DEPTH = 3  # folders in which files are looked for: `name/train/0000.parquet`
COMPARED = 8  # pairs of rows with one id whose pictures are compared
READERS = 8  # files of a server that are read at the same time
REVISION = re.compile(r"[^@]*@[^/]+/")
"""What stands before the path in an address of the Hub, which may contain the name of a split."""


def find_parquet(folder: Path, names: Sequence[str]) -> Callable[[], Listing] | None:
    """Look for `*.parquet` and `*.arrow`, in the folder or in folders in it, and for a `shards.txt` of such files.

    The split of a file is the name of a folder that it is in, or a word of its name: `train-00000-of-00001.parquet`.
    """
    found = [file for ending in ENDINGS for depth in range(DEPTH) for file in folder.glob(f"{'*/' * depth}*{ending}")]
    files = [str(file) for file in sorted(found) if not file.name.startswith((".", "cache-"))]
    files = [file for file in files if not IMAGES.fullmatch(posixpath.basename(file))]  # features
    if LIST in names:
        files += [file for file in read_list(folder / LIST) if urlsplit(file).path.endswith(ENDINGS)]
    return functools.partial(_read, folder, files) if files else None


def _read(folder: Path, files: Sequence[str]) -> Listing:
    """Read the captions of all rows; pictures stay where they are."""
    labels = {file: _label(file, folder) for file in files}
    named = {file: find_split(label, folder) or find_word(posixpath.basename(label)) for file, label in labels.items()}
    left_out, bad = Counter[str](), list[DataError]()
    read = _read_all(labels, left_out, bad)
    splits, rule = _assign(folder, {file: (named[file], columns) for file, columns in read.items()})
    groups = {split: _group(columns) for split, columns in splits.items()}
    merged = {split: columns for split, columns in groups.items() if columns is not None}
    if len(merged) < len(groups):  # the ids mean nothing
        merged = {split: _rename(columns, folder) for split, columns in splits.items()}
    empty = {
        columns.names[index]: columns.places[index].member if columns.places else columns.names[index]
        for columns in merged.values()
        for index in columns.find_uncaptioned()
    }
    listing = {split: columns if columns.places else list(columns) for split, columns in merged.items()}
    file = Path(files[0]) if len(files) == 1 and not is_address(files[0]) else folder
    remedy = REMEDY_DRAWN if rule == DRAWN else ""
    if rule == BY_COLUMN.format(SPLIT_COLUMN) and not set(merged) & set(SPLITS):
        remedy = REMEDY_WORDS
    return Listing(folder, file, listing, remedy, rule, empty=empty, left_out=+left_out, bad=bad)


def _label(file: str, folder: Path) -> str:
    """Return the path of a file without its ending: below the folder, in its repository, or the end of its address."""
    if not is_address(file):
        return posixpath.splitext(normalise_path(Path(file).absolute().as_posix(), folder))[0]
    path = unquote(urlsplit(file).path)
    if file.startswith("hf://"):
        return posixpath.splitext(REVISION.sub("", path, count=1).lstrip("/"))[0]
    return posixpath.splitext("/".join(path.split("/")[-2:]))[0]


def _read_all(labels: Mapping[str, str], left_out: Counter[str], bad: list[DataError]) -> dict[str, FileColumns]:
    from vsezoo.data.pictures.row_columns import read_file  # imports numpy

    if not any(map(is_address, labels)):
        return {file: read_file(file, label, left_out, bad) for file, label in labels.items()}
    with ThreadPool(READERS) as pool:  # the time is spent waiting for a server
        found = pool.imap(lambda item: read_file(*item, left_out, bad), labels.items())
        return dict(zip(labels, report_done(found, len(labels), "files read"), strict=True))


def _assign(folder: Path, read: Mapping[str, tuple[str, FileColumns]]) -> tuple[dict[str, ImageColumns], str]:
    """Return the images of each split, and the rule: by a column, by the files' names, by folders in ids, or drawn."""
    import numpy as np

    from vsezoo.data.pictures.row_columns import join_images

    unnamed = [file for file, (split, _) in read.items() if not split]
    of_column = _read_column([columns.splits for _, columns in read.values()], are_named=not unnamed)
    if of_column is None and 0 < len(unnamed) < len(read):
        raise DataError(
            "does not name a split, unlike other files.",
            file=show_address(unnamed[0]),
            remedy=f"Move each file to a folder, or begin its name with one, of {', '.join(SPLITS[:3])}.",
        )
    if of_column is None and not unnamed:
        parts: dict[str, list[ImageColumns]] = {}
        for split, columns in read.values():
            parts.setdefault(split, []).append(columns.images)
        return {split: join_images(of_split) for split, of_split in parts.items()}, BY_FILE
    whole = join_images([columns.images for _, columns in read.values()])
    rule = BY_COLUMN.format(SPLIT_COLUMN)
    if of_column is None:
        found, rule = _assign_names(whole, folder)
        of_column = _encode(found, len(whole))
    names, codes = of_column
    return {name: whole.take(np.flatnonzero(codes == code)) for code, name in enumerate(names)}, rule


def _read_column(columns: Sequence[Any], *, are_named: bool) -> tuple[list[str], Any] | None:
    """Return the splits that the column `split` names, and the index of each row's; None if a row has none.

    A column of other words than those of splits counts only where the files are not named after splits.
    """
    import numpy as np

    from vsezoo.data.pictures.text_columns import encode_texts

    if any(column is None or column.null_count for column in columns):
        return None
    words, codes = encode_texts(columns)
    splits = [name_split(word) for word in words]
    names = list(dict.fromkeys(splits))
    if not all(splits) or (are_named and not set(names) <= set(SPLITS)):
        return None
    return names, np.array([names.index(split) for split in splits], np.int32)[codes]


def _encode(splits: Iterable[str], count: int) -> tuple[list[str], Any]:
    """Return the distinct splits, and the index of each row's."""
    import numpy as np

    names: dict[str, int] = {}
    codes = np.fromiter((names.setdefault(split, len(names)) for split in splits), np.int32, count)
    return list(names), codes


def _assign_names(images: ImageColumns, folder: Path) -> tuple[Iterable[str], str]:
    """Return the split of each row by the folders in the ids, or drawn, and the rule."""
    from vsezoo.data.pictures.columns import RowNames

    if isinstance(images.names, RowNames):  # whose files are in no folder of a split
        return draw_all(images.names), DRAWN
    names = list(images.names)
    assigned = assign_splits({name: name for name in names}, folder)
    return (assigned.splits[name] for name in names), assigned.rule


def _group(images: ImageColumns) -> ImageColumns | None:
    """Return one image for each id, since some files repeat a row for each caption.

    Pictures of some rows with one id are compared, because in other files a name means nothing: `image.jpg` in all
    rows.

    Returns:
        None if they differ.
    """
    import numpy as np

    from vsezoo.data.pictures.columns import RowNames

    if isinstance(images.names, RowNames) or images.names.are_distinct():
        return images
    codes = images.names.column.combine_chunks().dictionary_encode().indices.to_numpy()
    firsts = np.unique(codes, return_index=True)[1]
    if images.places is not None:
        again = np.setdiff1d(np.arange(len(codes)), firsts)
        for row in islice(again.tolist(), COMPARED):
            one, other = (images.places[int(index)] for index in (row, firsts[codes[row]]))
            with one.open() as its, other.open() as others:
                if its.read() != others.read():
                    return None
    return images.merge(codes)


def _rename(images: ImageColumns, folder: Path) -> ImageColumns:
    """Return the images with the file and the row as ids."""
    from vsezoo.data.pictures.columns import ImageColumns, RowNames

    if images.places is None:
        return images
    names = RowNames([_label(file, folder) for file in images.places.files], images.places, "#")
    return ImageColumns(names, images.captions, images.counts, images.places, images.languages)
