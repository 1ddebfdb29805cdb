"""Open a data set given to `--data`: a registered name or a folder. Imports neither torch nor numpy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vsezoo import registry
from vsezoo.data.folder_source import FolderSource
from vsezoo.data.hub_data import find_hub_data, is_hub_data
from vsezoo.data.pictures.source import PictureSource
from vsezoo.data.pictures.walk import list_archives
from vsezoo.data.places import list_roots
from vsezoo.data.source import DEFAULT_OPTIONS, DataSource, OpenOptions
from vsezoo.errors import AbsentDataError, DataError, UnknownNameError, report_system_errors, suggest_name

if TYPE_CHECKING:
    from vsezoo.inputs import PairDataset


def as_folder(data: str) -> Path | None:
    """Return the folder that `--data` names: a path with a separator, or a directory that is not a registered name.

    Returns:
        None for anything else: a registered name, or an unknown one.

    Raises:
        ConflictError: see `vsezoo.registry.find`.
    """
    if is_hub_data(data):
        return None
    if os.sep in data or "/" in data:
        return Path(data)
    try:
        registry.find("datasets", data)
    except UnknownNameError:
        return Path(data) if Path(data).is_dir() else None
    return None


def find_source(data: str) -> DataSource:
    """Return the data set of a registered name, of the Hub, or of a folder of features or pictures; see `as_folder`.

    Raises:
        HubError, DataError, UsageError: see `vsezoo.data.hub_data.find_hub_data`.
        UnknownNameError: for a name that is neither registered nor a folder.
        DataError: for a file.
        ConflictError, PluginError: see `vsezoo.registry.load`.
    """
    if is_hub_data(data):
        found = find_hub_data(data)
        return PictureSource(found.name, found.address, folder=found.folder, address=found.address)
    if (folder := as_folder(data)) is not None:
        _refuse_file(folder)
        return FolderSource(folder)
    try:
        source: DataSource = registry.load("datasets", data)
    except UnknownNameError as error:
        raise _describe_unknown(data, error) from None
    return source


def require_data(data: str) -> None:
    """Check that a data set is registered, or a folder that exists; nothing is imported or read.

    Raises:
        UnknownNameError: for a name that is neither registered nor a folder.
        AbsentDataError: for the path of a folder that does not exist.
        DataError: for a file.
    """
    folder = as_folder(data)
    if is_hub_data(data):
        return
    if folder is None:
        try:
            registry.find("datasets", data)
        except UnknownNameError as error:
            raise _describe_unknown(data, error) from None
    elif "://" not in data and not folder.exists():
        near = suggest_name(data, [str(other) for other in folder.parent.glob("*/")])
        raise AbsentDataError("does not exist.", file=folder, remedy=near or "Check the path.")
    else:
        _refuse_file(folder)


def _refuse_file(folder: Path) -> None:
    if folder.is_file():
        is_packed = bool(list_archives([folder.name]))
        remedy = "Unpack it, and give that folder." if is_packed else f"Give the folder that it is in: {folder.parent}/"
        raise DataError("is a file; a data set is a folder.", file=folder, remedy=remedy)


def list_near_folders() -> list[Path]:
    """Return the folders in the places where data sets are looked for."""
    return sorted(folder for root in list_roots(None) if root.is_dir() for folder in root.iterdir() if folder.is_dir())


def _describe_unknown(data: str, error: UnknownNameError) -> UnknownNameError:
    folders = list_near_folders()
    if found := [folder for folder in folders if folder.name == data]:
        return UnknownNameError(error.problem, remedy=f"There is a folder of that name: {found[0]}")
    listed = "`vsezoo list-datasets` lists all. To use a folder, give a path with a slash: ./FOLDER"
    known = [*registry.list_datasets(), *map(str, folders)]
    return UnknownNameError(error.problem, remedy=suggest_name(data, known, listed))


def locate(data: str) -> str:
    """Return a name that is valid everywhere: the absolute path of a folder, on the Hub the address with its commit."""
    if is_hub_data(data):
        return find_hub_data(data).address
    folder = as_folder(data)
    return data if folder is None else str(folder.absolute())


@report_system_errors
def open_data(
    data: str | Path, split: str, kinds: str | Sequence[str] | None = None, options: OpenOptions = DEFAULT_OPTIONS
) -> PairDataset:
    """Open a split of a data set.

    Args:
        data: a registered name or a folder.
        split: `train`, `dev`, `test`, ….
        kinds: kinds of images that the encoder takes, the preferred one first, or a single kind; None: the data set
            chooses.
        options: `root` is where registered data sets are looked for; it does not affect a folder.

    Raises:
        DataError: when the data are absent, damaged, or available in none of these kinds.
        UnknownNameError: for a name that is neither registered nor a folder.
    """
    source = find_source(str(data))
    wanted = source.kinds if kinds is None else (kinds,) if isinstance(kinds, str) else kinds
    return source.open(split, wanted, options)
