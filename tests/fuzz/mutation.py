"""Mutants of files: as disks, networks and strangers make them; no tests in here."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from vsezoo.storage.json_file import SEAL, seal

HOSTILE: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", "x", "../../etc/passwd", "\x1b[31m", "\x00", "\ud800", "9" * 5000, "error", "f" * 64, "hub:a/b"),
    *([], {}, [[]], [None], {"": None}, [0] * 1000, ["a"] * 3, {"name": "x", "options": {}}, {"size": 1}),
)
"""Values in the place of others."""
SPECIAL = ("pipe", "socket", "folder", "loop", "zero", "absent", "empty")
"""What stands in the place of a file."""


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """Return a content after one change."""
    if not content:
        return b"\x00"
    start = random.randrange(len(content))
    end = min(len(content), start + random.choice((1, 2, 8, 64, 1000)))
    match random.randrange(6):
        case 0 | 1:
            changed = bytearray(content)
            changed[start] ^= 1 << random.randrange(8)
            return bytes(changed)
        case 2:
            return content[:start]
        case 3:
            return content[:start] + content[end:]
        case 4:
            return content[:end] + content[start:]
        case _:
            return content[:start] + bytes(random.randrange(256) for _ in range(end - start)) + content[end:]


def mutate_json(content: bytes, random: Random) -> bytes:
    """Return a JSON object with one value replaced, removed, added or nested, and its digest made to agree."""
    value = json.loads(content)
    sealed = isinstance(value, dict) and value.pop(SEAL, None) is not None
    places = list(_list_places(value))
    if not places:
        return content
    owner, key = places[random.randrange(len(places))]
    match random.randrange(5):
        case 0:
            del owner[key]
        case 1 if isinstance(owner, dict):
            owner["moon"] = random.choice(HOSTILE)
        case 2:
            deep: Any = owner[key]
            for _ in range(random.choice((1, 70, 500))):
                deep = [deep]
            owner[key] = deep
        case _:
            owner[key] = random.choice(HOSTILE)
    if sealed:
        value = seal(value)
    return json.dumps(value).encode("utf-8", "backslashreplace")


def replace_by_special(file: Path, kind: str) -> None:
    """Put something else in the place of a file."""
    if file.is_dir():
        shutil.rmtree(file)
    else:
        file.unlink()
    match kind:
        case "pipe":
            os.mkfifo(file)
        case "socket":
            with socket.socket(socket.AF_UNIX) as server:
                here = Path.cwd()
                os.chdir(file.parent)  # the path of a socket has at most 107 bytes
                try:
                    server.bind(file.name)
                finally:
                    os.chdir(here)
        case "folder":
            file.mkdir()
        case "loop":
            file.symlink_to(file.name)
        case "zero":
            file.symlink_to("/dev/zero")
        case "empty":
            file.touch()


def _list_places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each list or object with a key; of a long list, only the first."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(min(len(value), 4)))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _list_places(value[key])
