"""Locks, also where the file system has none."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock

from vsezoo.errors import VsezooWarning
from vsezoo.storage import lock
from vsezoo.storage.lock import BusyError, hold_lock


def test_one_at_a_time(tmp_path: Path) -> None:
    with hold_lock(tmp_path / ".lock"), pytest.raises(BusyError), hold_lock(tmp_path / ".lock"):
        pass
    with hold_lock(tmp_path / ".lock"):
        pass


@pytest.mark.parametrize("error", [NotImplementedError(), OSError(errno.ENOLCK, "x"), OSError(errno.EOPNOTSUPP, "x")])
def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(self: FileLock) -> None:
        raise error

    monkeypatch.setattr(FileLock, "_acquire", refuse)
    monkeypatch.setattr(lock, "_warned", set())
    with ExitStack() as held:
        with pytest.warns(VsezooWarning, match=r"has no locks.*remove \.lock\.held there"):
            held.enter_context(hold_lock(tmp_path / ".lock"))
        assert (tmp_path / ".lock.held").exists()
        with pytest.raises(BusyError), hold_lock(tmp_path / ".lock"):  # said once: warnings are errors here
            pass
    assert not (tmp_path / ".lock.held").exists()
    with hold_lock(tmp_path / ".lock"):
        pass


def test_other_errors_stay(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"), hold_lock(tmp_path / "file" / ".lock"):
        pass
