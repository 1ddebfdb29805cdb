"""The cache folder: facts about the user's files that can be computed again at any time.

Environment:
    VSEZOO_CACHE: the folder; by default `$XDG_CACHE_HOME/vsezoo`, that is `~/.cache/vsezoo`; without a home folder,
        `vsezoo-cache-USER` in the temporary folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError, StorageError
from vsezoo.storage.addresses import identify_address, is_address
from vsezoo.storage.atomic_file import write_whole
from vsezoo.storage.forms import Anything, Fields
from vsezoo.storage.json_file import read_object, seal

PINNED = re.compile(r"hf://[^@]+@[0-9a-f]{40}/")
CACHE_VARIABLE = "VSEZOO_CACHE"
ANSWER = Fields({"answer": Anything()})
METADATA = (".dist-info", ".egg-info")
"""How the folder with the metadata of a distribution ends, `name-version.dist-info`."""


def find_cache() -> Path:
    """Return the cache folder, which may not exist yet."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vsezoo"
    except RuntimeError:  # no HOME, and no entry for the user in the list of users: as in some containers
        user = os.getuid() if hasattr(os, "getuid") else "user"
        return Path(os.environ.get("TMPDIR") or "/tmp") / f"vsezoo-cache-{user}"


def identify(file: str | Path) -> tuple[str, int, int | str]:
    """Return an identity that changes with a file: absolute path, size in bytes, modification time in ns.

    For a remote file: address, size, and the version reported by the server. An address of the Hub with a commit is
    its own identity, and no server is asked.

    Raises:
        OSError: for a file that does not exist.
    """
    if PINNED.match(str(file)):
        return str(file), 0, 0
    if is_address(str(file)):
        return identify_address(str(file))
    found = Path(file).stat()
    return str(Path(file).absolute()), found.st_size, found.st_mtime_ns


def identify_code(packages: Iterable[str]) -> list[Any]:
    """Return an identity that changes with the code of packages, and with what is installed next to them.

    It has path, size and time of each file in the packages, since they may be edited where they are, and the names of
    all distributions on `sys.path` with their versions. Nothing is imported.

    Args:
        packages: the names of packages that are not in others.

    Raises:
        OSError: if the files cannot be listed, such as those of a package in an archive.
    """
    installed = [_list_distributions(folder) for folder in sys.path]
    places = [place for spec in map(find_spec, packages) if spec for place in spec.submodule_search_locations or ()]
    without_docstrings = sys.flags.optimize > 1
    return [sys.path, installed, without_docstrings, [file for place in places for file in _identify_files(place)]]


def _list_distributions(folder: str) -> list[str]:
    try:
        return sorted(item.name for item in os.scandir(folder or ".") if item.name.endswith(METADATA))
    except OSError:  # an archive, or a folder that does not exist
        return []


def _identify_files(folder: str) -> Iterator[tuple[str, int, int]]:
    """Yield the identity of each file in a folder and those below; of bytecode, which follows the sources, none."""
    for item in sorted(os.scandir(folder), key=lambda item: item.name):
        if not item.is_dir():
            yield item.path, item.stat().st_size, item.stat().st_mtime_ns
        elif item.name != "__pycache__":
            yield from _identify_files(item.path)


def remember(topic: str, key: Any, find_out: Callable[[], Any]) -> Any:
    """Return the cached value of a key, or compute it and store it if the cache is writable.

    Args:
        topic: the folder in the cache.
        key: everything that the value depends on, as JSON values.
        find_out: computes the value, as JSON values.
    """
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    file = find_cache() / topic / f"{digest}.json"
    with suppress(CheckpointError):  # damaged, or of an earlier version
        return read_object(file, ANSWER)["answer"]
    answer = find_out()
    with suppress(StorageError):
        write_whole(file, json.dumps(seal({"answer": answer})).encode())
    return answer
