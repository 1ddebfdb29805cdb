"""The cache folder: what was found out about the user's files and can be found out again at any time.

Environment:
    VSEZOO_CACHE: the folder; by default `$XDG_CACHE_HOME/vsezoo`, that is `~/.cache/vsezoo`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from vsezoo.storage.addresses import identify_address, is_address

CACHE_VARIABLE = "VSEZOO_CACHE"


def find_cache() -> Path:
    """Return the cache folder, which need not be there."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vsezoo"


def identify(file: str | Path) -> tuple[str, int, int | str]:
    """Return what changes when a file does: its absolute path, its size in bytes, and when it was written, in ns.

    Of a file that is read by its address, it is the address, the size, and what the server calls its version.

    Raises:
        OSError: for a file that is not there.
    """
    if is_address(str(file)):
        return identify_address(str(file))
    found = Path(file).stat()
    return str(Path(file).absolute()), found.st_size, found.st_mtime_ns


def remember(topic: str, key: Any, find_out: Callable[[], Any]) -> Any:
    """Return what the cache holds for a key, or find it out and keep it, if the cache can be written.

    Args:
        topic: the folder in the cache.
        key: all that the answer depends on, as JSON can write it.
        find_out: returns the answer, as JSON can write it.
    """
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    file = find_cache() / topic / f"{digest}.json"
    with suppress(OSError, ValueError):
        return json.loads(file.read_bytes())
    answer = find_out()
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as temporary:  # removed if the disk is full
            whole = Path(temporary, file.name)
            whole.write_text(json.dumps(answer), encoding="utf-8")
            whole.replace(file)
    return answer
