"""The files of a checkpoint folder as they are at one moment, however often a training replaces it afterwards.

All files are opened together. Small ones are read and those of tensors mapped, so that what is used later are the bytes
that were hashed, also if the folder has been replaced or removed by then.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError, explain_system
from vsezoo.storage.checkpoint_layout import CONFIG, LOCAL, describe_absence, parse_json, require_config
from vsezoo.storage.folders import RESTORE
from vsezoo.storage.tensor_file import Content, TensorFile, map_content

TENSORS = ".safetensors"
ATTEMPTS = 100
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
"""Errors of a folder that was replaced while it was opened; the last one on a network disk."""


class FolderSnapshot:
    """The files that a `config.json` lists.

    Args:
        folder: where they were read.
        config: what `config.json` says.
        files: `config.json`, the files that it lists, and `local.json` if there is one.

    Attributes:
        folder, config: see above.
        digest: the sha256 of `config.json`, and so of all that it lists.
    """

    def __init__(self, folder: Path, config: dict[str, Any], files: Mapping[str, _File]) -> None:
        self.folder, self.config, self._files = folder, config, files
        self.digest = hashlib.sha256(files[CONFIG].content).hexdigest()
        self._verified: set[str] = set()

    def verify(self, names: Iterable[str] | None = None) -> None:
        """Compare files with their digests, each once however often it is asked for.

        Args:
            names: of listed files; None: all of them.

        Raises:
            CheckpointError: for a file that is absent or differs.
        """
        for name in self.config["files"] if names is None else names:
            if name not in self._verified:
                self._verify(name)
                self._verified.add(name)

    def _verify(self, name: str) -> None:
        path, expected, file = self.folder / name, self.config["files"][name], self._files.get(name)
        if file is None:
            raise CheckpointError("is absent, though the folder's list of files names it.", file=path, remedy=RESTORE)
        if file.error is not None:
            reason, remedy = explain_system(file.error)
            raise CheckpointError(f"cannot be read: {reason}.", file=path, remedy=remedy)
        if file.status.st_size != expected["size"]:
            problem = f"has {file.status.st_size:,} bytes instead of {expected['size']:,}."
            raise CheckpointError(problem, file=path, remedy=RESTORE)
        if hashlib.sha256(file.content).hexdigest() != expected["sha256"]:
            raise CheckpointError("was altered: it has not the recorded sha256.", file=path, remedy=RESTORE)

    def identify(self, name: str) -> tuple[str, int, int]:
        """Return what changes when a file does: its absolute path, its size in bytes, and when it was written, in ns.

        Raises:
            CheckpointError: for a listed file that is absent.
        """
        if name not in self._files:
            self._verify(name)
        status = self._files[name].status
        return str((self.folder / name).absolute()), status.st_size, status.st_mtime_ns

    def trust(self, name: str) -> None:
        """Take a file for verified, as it was at an earlier time."""
        self._verified.add(name)

    def read_bytes(self, name: str) -> bytes:
        """Return the content of a file, which nobody has verified."""
        return bytes(self._files[name].content)

    def read_json(self, name: str) -> dict[str, Any]:
        """Return the JSON object that a listed file or `local.json` holds; that of a `local.json` may be absent.

        Raises:
            CheckpointError: for a listed file that is absent, differs from its digest, or holds something else.
        """
        if name == LOCAL and name not in self._files:
            return {}
        self.verify([name] if name != LOCAL else [])
        return parse_json(self.read_bytes(name), self.folder / name)

    def read_tensors(self, name: str) -> TensorFile:
        """Return the tensors of a listed file.

        Raises:
            CheckpointError: for a file that is not listed, differs from its digest, or holds something else.
        """
        if name not in self.config["files"]:
            raise CheckpointError("is absent.", file=self.folder / name, remedy=RESTORE)
        self.verify([name])
        return TensorFile(self._files[name].content, self.folder / name, RESTORE)

    def is_current(self) -> bool:
        """Tell whether the files are still in the folder.

        A file that is mapped is there as long as this object, so that no other one can look like it.
        """
        try:
            return all(
                _number((self.folder / name).stat()) == _number(file.status) for name, file in self._files.items()
            )
        except OSError:
            return False

    def write_small(self, folder: Path) -> None:
        """Write all but the tensors into another folder."""
        for name, file in self._files.items():
            if not name.endswith(TENSORS):
                (folder / name).write_bytes(file.content)


@dataclass(frozen=True)
class _File:
    """A file that was opened.

    Attributes:
        status: of the file.
        content: empty where it was not read, since its size is not the listed one.
        error: why it cannot be read.
    """

    status: os.stat_result
    content: Content = b""
    error: OSError | None = None


def open_snapshot(find: Callable[[], Path]) -> FolderSnapshot:
    """Open the files of a checkpoint folder; again, if the folder is replaced meanwhile.

    Args:
        find: returns the folder as it is now.

    Raises:
        CheckpointError: if it is not a checkpoint, or its configuration is damaged.
    """
    for _ in range(ATTEMPTS):
        folder = find()
        try:
            snapshot = _open(folder)
        except OSError as error:
            if error.errno not in GONE:
                reason, remedy = explain_system(error)
                raise CheckpointError(f"cannot be read: {reason}.", file=error.filename, remedy=remedy) from error
            continue
        if snapshot.is_current() and find() == folder:
            return snapshot
    if not (folder / CONFIG).is_file():
        raise describe_absence(folder)
    raise CheckpointError(
        "is replaced each time that it is read.", file=folder, remedy="Repeat the command when the training has ended."
    )


def _open(folder: Path) -> FolderSnapshot:
    """Open all files.

    Raises:
        OSError: if there is no `config.json`, or it cannot be read.
        CheckpointError: see `require_config`.
    """
    with (folder / CONFIG).open("rb") as stream:  # held open: its number in the file system stays its own
        files = {CONFIG: _File(os.fstat(stream.fileno()), stream.read())}
        config = require_config(parse_json(bytes(files[CONFIG].content), folder / CONFIG), folder / CONFIG)
        held = {item.name for item in folder.iterdir()}  # so that no name leads out of the folder
        for name in ({*config["files"], LOCAL} - {CONFIG}) & held:
            file = _open_file(folder / name, config["files"].get(name, {}).get("size"))
            if file is not None:
                files[name] = file
        return FolderSnapshot(folder, config, files)


def _open_file(path: Path, size: int | None) -> _File | None:
    """Open a file, and read it if it has the listed size; None if it is not there, or not a plain file."""
    status = None
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for its writer
            return None
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if size is not None and status.st_size != size:
                return _File(status)
            return _File(status, map_content(stream) if path.name.endswith(TENSORS) else stream.read())
    except OSError as error:
        return None if status is None or error.errno in GONE else _File(status, error=error)


def _number(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what no other file has at the same time, and what changes when the file is written to."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
