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
from collections.abc import Callable
from contextlib import suppress
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
