"""What tests change in checkpoint folders, and the error that they expect then; no tests in here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vsezoo import load
from vsezoo.errors import CheckpointError
from vsezoo.storage.digests import digest_files


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config.pop("entries_sha256", None)  # of the other entries, which whoever alters them on purpose can write again
    change(config)
    path.write_text(json.dumps(config))


def record_digests(folder: Path) -> None:
    """Make the list of files agree with the files, as someone would who alters a folder on purpose."""
    files = {name: digest for name, digest in digest_files(folder).items() if name not in ("config.json", "README.md")}
    change_config(folder, lambda config: config.update(files=files))


def expect_error(folder: Path, file: str, match: str = "checkpoint folder again") -> CheckpointError:
    with pytest.raises(CheckpointError, match=match) as caught:
        load(folder)
    assert caught.value.file == str(folder / file)
    assert caught.value.remedy
    return caught.value


def set_value(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of a configuration."""

    def change(config: Any) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = to

    return change
