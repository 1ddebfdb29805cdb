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


def find_source(data: str) -> DataSource:
    """Return the data set of a registered name, or of a folder of features or of pictures.

    A folder is a path with a separator, or a directory whose name is not registered.

    Raises:
        UnknownNameError: for a name that is neither.
        ConflictError, PluginError: see `vsezoo.registry.load`.
    """
    if os.sep in data or "/" in data:
        return FolderSource(Path(data))
    try:
        source: DataSource = registry.load("datasets", data)
    except UnknownNameError as error:
        if Path(data).is_dir():
            return FolderSource(Path(data))
        remedy = f"{error.remedy} A folder of your own is given by its path, with a slash in it: --data ./FOLDER"
        raise UnknownNameError(error.problem, remedy=remedy) from None
    return source


def locate(data: str) -> str:
    """Return what names the same data in every working folder: of a folder, its absolute path."""
    source = find_source(data)
    return str(source.folder.absolute()) if isinstance(source, FolderSource) else data


def open_data(data: str, split: str, kinds: Sequence[str], options: OpenOptions = DEFAULT_OPTIONS) -> PairDataset:
    """Open a split of a data set.

    Args:
        data: a registered name or a folder.
        split: `train`, `dev`, `test`, ….
        kinds: the forms of image that the encoder takes, the preferred one first.
        options: of which `root` is where registered data sets are looked for; a folder is taken as it is.

    Raises:
        DataError: when the data are absent, damaged, or come in none of these forms.
        UnknownNameError: for a name that is not registered and no folder.
    """
    return find_source(data).open(split, kinds, options)
