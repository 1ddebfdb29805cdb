"""From what `--data` says, a registered name or a folder, to an open data set. Imports neither torch nor numpy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo import registry
from vsezoo.data.folder_source import FolderSource
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions
from vsezoo.errors import UnknownNameError

if TYPE_CHECKING:
    from vsezoo.interfaces import PairDataset


def as_folder(data: str) -> Path | None:
    """Return the folder that `--data` names: a path with a separator, or a directory whose name is not registered.

    Returns:
        None for anything else: a registered name, or one that means nothing.

    Raises:
        ConflictError: see `vsezoo.registry.find`.
    """
    if os.sep in data or "/" in data:
        return Path(data)
    try:
        registry.find("datasets", data)
    except UnknownNameError:
        return Path(data) if Path(data).is_dir() else None
    return None


def find_source(data: str) -> DataSource:
    """Return the data set of a registered name, or of a folder of features or of pictures; see `as_folder`.

    Raises:
        UnknownNameError: for a name that is neither.
        ConflictError, PluginError: see `vsezoo.registry.load`.
    """
    if (folder := as_folder(data)) is not None:
        return FolderSource(folder)
    try:
        source: DataSource = registry.load("datasets", data)
    except UnknownNameError as error:
        remedy = f"{error.remedy} A folder of your own is given by its path, with a slash in it: --data ./FOLDER"
        raise UnknownNameError(error.problem, remedy=remedy) from None
    return source


def locate(data: str) -> str:
    """Return what names the same data in every working folder: of a folder, its absolute path."""
    folder = as_folder(data)
    return data if folder is None else str(folder.absolute())


def open_data(
    data: str | Path, split: str, kinds: Sequence[str] | None = None, options: OpenOptions = DEFAULT_OPTIONS
) -> PairDataset:
    """Open a split of a data set.

    Args:
        data: a registered name or a folder.
        split: `train`, `dev`, `test`, ….
        kinds: the forms of image that the encoder takes, the preferred one first; None: what the data set prefers.
        options: of which `root` is where registered data sets are looked for; a folder is taken as it is.

    Raises:
        DataError: when the data are absent, damaged, or come in none of these forms.
        UnknownNameError: for a name that is neither registered nor a folder.
    """
    source = find_source(str(data))
    return source.open(split, source.kinds if kinds is None else kinds, options)
