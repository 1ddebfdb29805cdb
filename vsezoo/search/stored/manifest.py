"""The manifest of an index folder, `index.json`: the one file that says which of the others are valid.

An index folder is changed by writing new files next to the old ones, then replacing the manifest atomically. A killed
process leaves the manifest, and so the index, as it was.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.errors import DataError, UnknownNameError, UsageError
from vsezoo.storage.atomic_file import write_whole
from vsezoo.storage.forms import Anything, Fields, FormError, Integer, ListOf, Mapped, Text
from vsezoo.storage.json_file import LARGEST, parse_object, seal
from vsezoo.storage.plain_file import explain_unread, read_plain

NAME, DRAFT = "index.json", "building.json"
"""The manifest, and that of a change that has not been finished."""
FORMAT = 1
TABLE = ("vectors", "keys", "ids", "ids.ends", "texts", "texts.ends")
"""Endings of the files of a table; images have no texts."""
OWN = re.compile(rf"\d+\.({'|'.join(map(re.escape, TABLE))}|removed|faiss)|index\.json|building\.json|\.lock|\..+\.tmp")
"""Names of the files in an index folder."""
REBUILD = "Build it again with `vsezoo index build`."
FILE = Text(r"[\w.+-]{0,128}", "the name of a file in the folder")
ENTRIES = Fields(
    {
        **{name: Text() for name in ("backend", "model", "digest", "similarity", "kind", "place", "dtype")},
        "options": Mapped(Anything()),
        "width": Integer(),
        "table": FILE,
        "format": Integer(1, FORMAT),
    },
    {
        **{name: Integer() for name in ("count", "alive", "generation")},
        "removed": FILE,
        "state": Fields({}, {"files": ListOf(FILE)}, others=True),
        "checksums": Mapped(Fields({"size": Integer(), "crc32": Integer(0, 2**32 - 1)})),
    },
)
"""The form of both."""


@dataclass(frozen=True)
class Manifest:
    """What an index folder contains.

    Attributes:
        backend: name in the group `vsezoo.indexes`.
        options: options of the backend, such as the address of a server.
        model: name of the recipe.
        digest: `Checkpoint.digest` of the model.
        similarity: name of the similarity.
        kind: what the items are: a kind of image, or "text".
        place: where the collection lies, absolute; empty if it is not in one place.
        dtype: "float32" or "float16".
        width: numbers of a vector.
        table: prefix of the files with vectors and ids; see `Table`.
        count: number of rows, those that were removed included.
        removed: file with the row numbers that were removed; empty: none were.
        alive: number of items.
        generation: number of changes so far.
        state: what the backend keeps, JSON; `files` lists its files.
        checksums: of the files by name: how many bytes are valid, and their CRC-32; empty: not known.
    """

    backend: str
    options: Mapping[str, Any]
    model: str
    digest: str
    similarity: str
    kind: str
    place: str
    dtype: str
    width: int
    table: str
    count: int = 0
    removed: str = ""
    alive: int = 0
    generation: int = 0
    state: Mapping[str, Any] = field(default_factory=dict)
    checksums: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    format: int = FORMAT

    def list_names(self) -> list[str]:
        """Return the names of the files, the manifest excepted."""
        names = [f"{self.table}.{name}" for name in TABLE if self.kind == "text" or not name.startswith("texts")]
        return [*names, *([self.removed] if self.removed else []), *self.state.get("files", [])]


def list_files(folder: Path, manifest: Manifest) -> list[Path]:
    """Return the files of an index folder that its manifest names and that are there, itself included."""
    return [folder / name for name in (*manifest.list_names(), NAME) if (folder / name).exists()]


def is_index(name: str | Path) -> bool:
    """Return whether a name is a path rather than the name of a backend: an existing folder, or has a separator."""
    return Path(name).is_dir() or len(Path(name).parts) > 1


def require_known(name: str | Path) -> None:
    """Check that a name is a path, see `is_index`, or that of a backend, before anything is embedded.

    Raises:
        UnknownNameError: for any other name.
    """
    if is_index(name):
        return
    try:
        registry.find("indexes", str(name))
    except UnknownNameError as error:
        remedy = f"{error.remedy} An index folder of this name does not exist; its path may have a slash: ./FOLDER"
        raise UnknownNameError(error.problem, remedy=remedy) from None


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of an index folder.

    Raises:
        UsageError: for a folder that is not an index, or one of a later version.
        DataError: for a manifest that is damaged.
    """
    with explain_unread(folder / NAME):
        try:
            content = read_plain(folder / NAME, LARGEST)
        except (FileNotFoundError, NotADirectoryError):
            remedy = "Name a folder that `vsezoo index build` has written."
            raise UsageError("is not an index.", file=folder, remedy=remedy) from None
    return parse_manifest(content, folder / NAME)


def read_draft(folder: Path) -> Manifest | None:
    """Return the manifest of an unfinished change; None if there is none, or it is damaged."""
    try:
        return parse_manifest(read_plain(folder / DRAFT, LARGEST), folder / DRAFT)
    except (OSError, DataError, UsageError):
        return None


def write_manifest(folder: Path, manifest: Manifest, name: str = NAME) -> None:
    """Replace the manifest atomically.

    Raises:
        StorageError: when it cannot be written; the index is as it was.
    """
    write_whole(folder / name, json.dumps(seal(asdict(manifest)), indent=1).encode())


def require_model(folder: Path, manifest: Manifest, model: str, digest: str) -> None:
    """Refuse the index of another model.

    Raises:
        UsageError: names both.
    """
    if manifest.digest == digest:
        return
    if manifest.model != model:
        problem = f"was built with the model {manifest.model!r}, not with {model!r}."
    else:
        problem = f"was built with another checkpoint of {model!r}, {manifest.digest[:12]}, not with {digest[:12]}."
    raise UsageError(
        problem,
        file=folder,
        remedy="Use the checkpoint that it was built with, or build it again with `vsezoo index build`.",
    )


def parse_manifest(content: bytes, file: Path) -> Manifest:
    """Return the manifest with this content.

    Raises:
        UsageError: for one of a later version.
        DataError: for one that is damaged.
    """
    found = parse_object(content, file, error=DataError, remedy=REBUILD)
    version = found.get("format")
    if type(version) is int and version > FORMAT:
        raise UsageError(
            f"has the format {version}, which this version does not know.",
            file=file,
            remedy="Upgrade vsezoo: python -m pip install --upgrade vsezoo",
        )
    try:
        ENTRIES.check(found, "")
        if not found.get("alive", 0) <= found.get("count", 0):
            raise FormError("it has more items than rows")
        if found["dtype"] not in ("float32", "float16"):
            raise FormError("dtype is not 'float32' or 'float16'")
    except FormError as error:
        raise DataError(f"is damaged: {error}.", file=file, remedy=REBUILD) from error
    return Manifest(**found)
