"""A snapshot of the files of a checkpoint folder, unaffected by a training run that replaces it afterwards.

All files are opened together. Small ones are read, tensor files are mapped into memory: the bytes used later are
the bytes that were hashed, even if the folder has been replaced or removed in the meantime.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError, explain_system
from vsezoo.storage.checkpoint_layout import CONFIG, LOCAL, describe_absence, require_config
from vsezoo.storage.digests import RESTORE, require_digest, require_size
from vsezoo.storage.json_file import LARGEST, parse_object
from vsezoo.storage.plain_file import Content, map_content, open_plain
from vsezoo.storage.tensor_file import TensorFile

TENSORS = ".safetensors"
ATTEMPTS = 100
PATIENCE = 10.0
"""Seconds in which more attempts are made to open a folder that is there, and is replaced again and again."""
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
"""Errors that occur if a folder is replaced while it is opened; the last one on network disks."""


class FolderSnapshot:
    """The files listed in a `config.json`.

    Args:
        folder: the folder they were read from.
        config: the contents of `config.json`.
        files: `config.json`, the files it lists, and `local.json` if it exists.

    Attributes:
        folder, config: see above.
        digest: SHA-256 of `config.json`, which covers all files that it lists.
    """

    def __init__(self, folder: Path, config: dict[str, Any], files: Mapping[str, _File]) -> None:
        self.folder, self.config, self._files = folder, config, files
        self.digest = hashlib.sha256(files[CONFIG].content).hexdigest()
        self._verified: set[str] = set()

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Compare files with their digests, each only once.

        Args:
            names: listed files; None: all of them.

        Raises:
            CheckpointError: for a file that is missing or differs.
        """
        for name in self.config["files"] if names is None else names:
            if name not in self._verified:
                self._verify(name)
                self._verified.add(name)

    def _verify(self, name: str) -> None:
        path, expected, file = self.folder / name, self.config["files"][name], self._files.get(name)
        if file is None:
            raise CheckpointError("is missing, although config.json lists it.", file=path, remedy=RESTORE)
        if file.error is not None:
            reason, remedy = explain_system(file.error)
            raise CheckpointError(f"cannot be read: {reason}.", file=path, remedy=remedy)
        require_size(file.status.st_size, expected, path)  # a file of another size was not read
        require_digest(file.content, expected, path)

    def identify(self, name: str) -> tuple[str, int, int]:
        """Return an identity that changes with a file: absolute path, size in bytes, modification time in ns.

        Raises:
            CheckpointError: for a listed file that is missing.
        """
        if name not in self._files:
            self._verify(name)
        status = self._files[name].status
        return str((self.folder / name).absolute()), status.st_size, status.st_mtime_ns

    def trust(self, name: str) -> None:
        """Mark a file as verified, because an earlier snapshot verified it."""
        self._verified.add(name)

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file without verifying it."""
        return bytes(self._files[name].content)

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the JSON object in a listed file or in `local.json`, which may be missing.

        Raises:
            CheckpointError: for a listed file that is missing, differs from its digest, or has other contents.
        """
        if name == LOCAL and name not in self._files:
            return {}
        self.verify([name] if name != LOCAL else [])
        return parse_object(self.read_bytes(name), self.folder / name)

    def read_tensors(self, name: str) -> TensorFile:
        """Return the tensors of a listed file.

        Raises:
            CheckpointError: for a file that is not listed, differs from its digest, or has other contents.
        """
        if name not in self.config["files"]:
            raise CheckpointError("is missing.", file=self.folder / name, remedy=RESTORE)
        self.verify([name])
        return TensorFile(self._files[name].content, self.folder / name, RESTORE)

    def is_current(self) -> bool:
        """Return whether the files are still in the folder.

        A mapped file exists as long as this object, so no other file can have its identity.
        """
        try:
            return all(
                _number((self.folder / name).stat()) == _number(file.status) for name, file in self._files.items()
            )
        except OSError:
            return False

    def write_small(self, folder: Path) -> None:
        """Write all files except the tensors to another folder."""
        for name, file in self._files.items():
            if not name.endswith(TENSORS):
                (folder / name).write_bytes(file.content)


@dataclass(frozen=True)
class _File:
    """An opened file.

    Attributes:
        status: the file status.
        content: empty if it was not read because its size differs from the listed one.
        error: why it cannot be read.
    """

    status: os.stat_result
    content: Content = b""
    error: OSError | None = None


def open_snapshot(find: Callable[[], Path]) -> FolderSnapshot:
    """Open the files of a checkpoint folder; retry if the folder is replaced meanwhile.

    Args:
        find: returns the current folder.

    Raises:
        CheckpointError: if it is not a checkpoint, or its configuration is damaged.
    """
    end, was_there = time.monotonic() + PATIENCE, False
    for attempt in itertools.count():
        folder = find()
        was_there = was_there or (folder / CONFIG).is_file()
        if attempt >= ATTEMPTS and (time.monotonic() > end or not was_there):
            break
        try:
            snapshot = _open(folder)
        except OSError as error:
            if error.errno not in GONE:
                reason, remedy = explain_system(error)
                raise CheckpointError(f"cannot be read: {reason}.", file=error.filename, remedy=remedy) from error
            continue
        if snapshot.is_current() and find() == folder:
            return snapshot
    if not was_there:
        raise describe_absence(folder)
    raise CheckpointError(
        "is replaced every time it is read.", file=folder, remedy="Repeat the command when the training run has ended."
    )


def _open(folder: Path) -> FolderSnapshot:
    """Open all files.

    Raises:
        OSError: if there is no `config.json`, or it cannot be read.
        CheckpointError: see `require_config`.
    """
    with open_plain(folder / CONFIG) as stream:  # keep it open, so that its inode number is not reused
        files = {CONFIG: _File(os.fstat(stream.fileno()), stream.read(LARGEST))}
        config = require_config(parse_object(bytes(files[CONFIG].content), folder / CONFIG), folder / CONFIG)
        held = {item.name for item in folder.iterdir()}  # a name must not lead out of the folder
        for name in ({*config["files"], LOCAL} - {CONFIG}) & held:
            file = _open_file(folder / name, config["files"].get(name, {}).get("size"))
            if file is not None:
                files[name] = file
        return FolderSnapshot(folder, config, files)


def _open_file(path: Path, size: int | None) -> _File | None:
    """Open a file, and read it if it has the listed size; None if it does not exist or is not a plain file."""
    status = None
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        with open_plain(path) as stream:
            status = os.fstat(stream.fileno())
            if size is not None and status.st_size != size:
                return _File(status)
            return _File(status, map_content(stream) if path.name.endswith(TENSORS) else stream.read())
    except OSError as error:
        return None if status is None or error.errno in GONE else _File(status, error=error)


def _number(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return an identity that no other file has at the same time and that changes when the file is written."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
