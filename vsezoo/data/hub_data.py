"""Data sets of the Hub, read in place: `hf://datasets/org/name`, pinned to a commit.

The cache folder gets a folder for each commit with a `shards.txt` of the addresses of its Parquet files or shards, so
that everything that works on a folder works on the data set. Without a network, the commit that was last seen is used.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vsezoo.data.pictures.listing import SPLITS, name_split
from vsezoo.data.pictures.shard_list import LIST
from vsezoo.errors import DataError, HubError, StorageError, UsageError, list_names
from vsezoo.storage.atomic_file import write_whole
from vsezoo.storage.forms import Fields, ListOf, Text
from vsezoo.storage.json_file import LARGEST, read_object, seal
from vsezoo.storage.plain_file import read_plain

PREFIX = "hf://datasets/"
FORM = re.compile(
    r"hf://datasets/(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/@]+(?:/pr/\d+)?))?(?:/(?P<inside>.+))?"
)
ENDINGS = (".parquet", ".tar")
CONVERTED = "refs/convert/parquet"
"""The branch on which the Hub keeps data sets of other forms as Parquet."""
WHOLE = ("data", "default")
"""Folders that hold a whole data set, not one of several."""
NAMED = 6
RECORD = Fields({"commit": Text(r"[\w.-]+", "a commit"), "files": ListOf(Text())})
"""The form of what is kept of a revision."""


class HubData(NamedTuple):
    """A data set of the Hub.

    Attributes:
        address: with the commit: `hf://datasets/org/name@COMMIT`.
        folder: the folder with its `shards.txt`.
        name: the last part of its name, by which recipes know it.
    """

    address: str
    folder: Path
    name: str


def is_hub_data(data: str) -> bool:
    """Return whether `--data` names a data set of the Hub."""
    return data.startswith(PREFIX)


@cache  # one commit for a process, whatever happens on the Hub meanwhile
def find_hub_data(data: str) -> HubData:
    """Return the data set of an address `hf://datasets/org/name[@revision][/folder]`.

    Raises:
        UsageError: for an address of another form.
        HubError: for a data set that does not exist, or cannot be reached and was not read before.
        DataError: for one without Parquet files or shards, or with several sets in it.
    """
    parts = FORM.fullmatch(data.rstrip("/"))
    if parts is None:
        raise UsageError(f"{data!r} is not the address of a data set.", remedy="Example: hf://datasets/org/name")
    repository, revision, inside = parts["repository"], parts["revision"] or "main", parts["inside"] or ""
    commit, files = _list_files(repository, revision)
    chosen = _choose_files(files, inside)
    if not chosen and parts["revision"] is None:
        with suppress(HubError):
            commit, converted = _list_files(repository, CONVERTED)
            chosen = _choose_files(converted, inside)
    if not chosen:
        raise DataError(
            f"has no Parquet files and no shards; it has {list_names(files, NAMED) if files else 'no files'}.",
            file=data,
            remedy=f"Download it, `hf download --repo-type dataset {repository} --local-dir DATA`, and give DATA.",
        )
    _require_one(data, repository, chosen, inside)
    address = f"{PREFIX}{repository}@{commit}{f'/{inside}' if inside else ''}"
    name = repository.replace("/", "--") + (f"--{inside.replace('/', '--')}" if inside else "")
    folder = _find_home() / name / commit
    _write(folder / LIST, "".join(f"{PREFIX}{repository}@{commit}/{file}\n" for file in chosen))
    return HubData(address, folder, posixpath.basename(repository))


def _find_home() -> Path:
    from vsezoo.storage.cache import find_cache  # imports safetensors

    return find_cache() / "hub"


def _choose_files(files: Sequence[str], inside: str) -> list[str]:
    """Return the Parquet files, else the shards, in a folder; or the one file of that name."""
    within = [file for file in files if not inside or file == inside or file.startswith(f"{inside}/")]
    return next(filter(None, ([file for file in within if file.endswith(ending)] for ending in ENDINGS)), [])


def _require_one(data: str, repository: str, files: Sequence[str], inside: str) -> None:
    """Refuse the files of several sets, in folders of their own: `en/train-….parquet`, `de/train-….parquet`."""
    below = [file.removeprefix(inside).lstrip("/") for file in files]
    tops = list(dict.fromkeys(name.partition("/")[0] for name in below if "/" in name))
    sets = [top for top in tops if name_split(top) not in SPLITS and top not in WHOLE]
    if len(tops) > 1 and sets:
        raise DataError(
            f"contains several data sets: {list_names(tops, NAMED)}.",
            file=data,
            remedy=f"Give one of them: {PREFIX}{repository}/{posixpath.join(inside, tops[0])}",
        )


def _list_files(repository: str, revision: str) -> tuple[str, list[str]]:
    """Return the commit of a revision and the paths of its files: from the Hub, or else as they were last seen."""
    record = _find_home() / repository.replace("/", "--") / f"{revision.replace('/', '--')}.json"
    try:
        commit, files = _ask_hub(repository, revision)
    except HubError as error:
        try:
            known = read_object(record, RECORD, error=DataError)
        except DataError:
            raise error from None
        return known["commit"], known["files"]
    text = json.dumps(seal({"commit": commit, "files": files}))
    _write(record, text)
    _write(record.with_name(f"{commit}.json"), text)
    return commit, files


def _ask_hub(repository: str, revision: str) -> tuple[str, list[str]]:
    from huggingface_hub import HfApi

    from vsezoo.hub.client import ask, explain_errors
    from vsezoo.hub.reference import HubReference

    with explain_errors(HubReference(f"datasets/{repository}", None if revision == "main" else revision)):
        found = ask(lambda: HfApi().dataset_info(repository, revision=revision))
        return str(found.sha), sorted(one.rfilename for one in found.siblings or [])


def _write(file: Path, text: str) -> None:
    """Write a file of the cache whole, or not at all; nothing if it says that already."""
    with suppress(OSError):
        if read_plain(file, LARGEST) == text.encode():
            return
    try:
        write_whole(file, text.encode())
    except StorageError as error:
        raise DataError(error.problem, file=file, remedy="Choose another folder with VSEZOO_CACHE.") from None
