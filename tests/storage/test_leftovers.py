"""What killed processes leave is removed by the next that writes the same, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vsezoo.errors import StorageError
from vsezoo.storage import leftovers
from vsezoo.storage.atomic_file import prepare_file, replace_file, write_whole
from vsezoo.storage.atomic_folder import replace_folder
from vsezoo.storage.leftovers import HOST, OLD, list_leftovers, name_temporary, remove_leftovers


def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path) -> None:
    """As root, `--predictions /dev/null` would take the device away from the whole machine."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(StorageError, match="exists and is not a plain file"), prepare_file(tmp_path / name) as part:
            part.write_bytes(b"content")
    assert (tmp_path / "pipe").is_fifo()
    assert list_names(tmp_path) == ["link", "pipe"]


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    return child


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_only_what_ended_processes_left_is_removed(tmp_path: Path, dead: int) -> None:
    kept = [
        "best",
        ".best.abc.tmp",
        "x.tmp",
        f".other.{HOST}-{dead}-01234567.tmp",
        f".best.{HOST}-{os.getpid()}-01234567.tmp",
        f".best.{HOST}-1-01234567.tmp",
        f".best.ffffffff-{dead}-00000001.tmp",
    ]
    gone = [f".best.{HOST}-{dead}-01234567.tmp", f".best.ffffffff-{dead}-00000002.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    for name in gone:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    os.utime(tmp_path / gone[1], (0, time.time() - OLD - 1))
    remove_leftovers(tmp_path / "best")
    assert list_names(tmp_path) == sorted(kept)
    assert [path.name for path in list_leftovers(tmp_path)] == [f".other.{HOST}-{dead}-01234567.tmp"]


@pytest.mark.parametrize("name", ["a", "a.b", "ä" * 120, "[x]*", "..a", "a\udc80"])
def test_any_name(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = name_temporary(tmp_path / name)
    assert len(os.fsencode(temporary.name)) <= 255
    temporary.touch()
    monkeypatch.setattr(leftovers, "_is_running", lambda process: False)
    remove_leftovers(tmp_path / name)
    assert list_names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from vsezoo.storage.atomic_file import replace_file
from vsezoo.storage.atomic_folder import replace_folder
target = Path(sys.argv[1])
with replace_folder(target / "folder") as folder, replace_file(target / "file") as stream:
    (folder / "a").touch()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.process
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert len(list_names(tmp_path)) == 2
    write_whole(tmp_path / "file", b"1")
    with replace_folder(tmp_path / "folder"):
        pass
    assert list_names(tmp_path) == ["file", "folder"]


def test_a_folder_that_cannot_be_removed_is_out_of_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a network disk, where a file that is open elsewhere keeps its folder."""
    monkeypatch.setattr("shutil.rmtree", lambda folder, ignore_errors: None)
    for number in range(3):
        with replace_folder(tmp_path / "best") as folder:
            (folder / str(number)).touch()
    assert list_names(tmp_path / "best") == ["2"]
    assert len(list_names(tmp_path)) == 3
    assert "best.previous" not in list_names(tmp_path)
    monkeypatch.undo()
    monkeypatch.setattr(leftovers, "_is_running", lambda process: False)
    remove_leftovers(tmp_path / "best")
    assert list_names(tmp_path) == ["best"]


def test_permissions_of_a_file_are_those_of_the_user(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replace_file(tmp_path / "a") as stream:
            stream.write(b"1")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
