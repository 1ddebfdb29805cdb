"""Folders that are written whole or not at all, whatever stops the writing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import processes
import pytest
from safetensors import SafetensorError

from vsezoo.errors import StorageError
from vsezoo.storage.atomic_folder import find_folder, replace_folder


def write_folder(target: Path, text: str) -> None:
    with replace_folder(target) as folder:
        (folder / "a.txt").write_text(text)


def write_and_fail(target: Path, error: BaseException) -> None:
    with replace_folder(target) as folder:
        (folder / "a.txt").write_text("two")
        raise error


def list_names(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


def test_a_folder_is_made_with_its_parents_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "runs" / "x" / "best"
    write_folder(target, "one")
    (target / "b.txt").write_text("left behind")
    write_folder(target, "two")
    assert list_names(target) == ["a.txt"]
    assert (target / "a.txt").read_text() == "two"
    assert list_names(target.parent) == ["best"]


def test_nothing_is_seen_of_a_folder_before_it_is_whole(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "best") as folder:
        (folder / "a.txt").write_text("x")
        assert not (tmp_path / "best").exists()
    assert (tmp_path / "best").is_dir()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_inside_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    write_folder(tmp_path / "best", "one")
    with pytest.raises(type(error)):
        write_and_fail(tmp_path / "best", error)
    assert list_names(tmp_path) == ["best"]
    assert (tmp_path / "best" / "a.txt").read_text() == "one"


def test_an_operating_system_error_becomes_one_clear_error(tmp_path: Path) -> None:
    write_folder(tmp_path / "best", "one")
    with pytest.raises(StorageError, match="cannot be written: No space left on device") as caught:
        write_and_fail(tmp_path / "best", OSError(28, "No space left on device"))
    assert caught.value.file == str(tmp_path / "best")
    assert caught.value.remedy == (
        "Free some space on the disk, or write to another place. The previous state is kept."
    )
    assert (tmp_path / "best" / "a.txt").read_text() == "one"


def test_a_place_below_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        write_folder(tmp_path / "file" / "best", "one")
    assert caught.value.remedy == "Check the path: a file is in the place of a folder."


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, "Check the permissions, or use another place."),
        (errno.EROFS, "The file system is read-only: write to another place."),
        (errno.EIO, "Check whether the disk works and has free space, or use another place."),
    ],
)
def test_the_remedy_follows_from_the_cause(tmp_path: Path, number: int, remedy: str) -> None:
    with pytest.raises(StorageError, match=f"best: cannot be written: {os.strerror(number)}") as caught:
        write_and_fail(tmp_path / "best", OSError(number, os.strerror(number)))
    assert caught.value.remedy == remedy


def test_a_full_disk_is_told_by_the_library_in_rust_too(tmp_path: Path) -> None:
    error = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    with pytest.raises(StorageError, match=r"cannot be written: No space left on device\.\nFree some space"):
        write_and_fail(tmp_path / "best", error)


def test_permissions_are_those_of_the_user(tmp_path: Path) -> None:
    """Not those of a temporary folder, which others cannot read."""
    before = os.umask(0o027)
    try:
        write_folder(tmp_path / "best", "one")
    finally:
        os.umask(before)
    assert (tmp_path / "best").stat().st_mode & 0o777 == 0o750
    assert os.umask(before) == before


def test_the_folder_before_is_found_when_the_new_one_did_not_arrive(tmp_path: Path) -> None:
    target, previous = tmp_path / "best", tmp_path / "best.previous"
    assert find_folder(target) == target
    write_folder(previous, "one")
    assert find_folder(target) == previous
    write_folder(target, "two")
    assert find_folder(target) == target
    assert list_names(tmp_path) == ["best"]


@pytest.mark.parametrize("name", [".", "..", "/"])
def test_a_place_without_a_name_is_found(name: str) -> None:
    assert find_folder(Path(name)) == Path(name)


PRELUDE = """
import itertools, os, random, resource, signal, sys, time, warnings
from pathlib import Path
import torch
warnings.simplefilter("error")
from tiny import TinyPairs, make_model
from vsezoo import load
from vsezoo.checkpoints.checkpoint import save_checkpoint
from vsezoo.errors import StorageError
from vsezoo.storage.leftovers import remove_leftovers

target, model, data = Path(folder) / "best", make_model(), TinyPairs()

def save(value):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    save_checkpoint(target, model, data, {"value": value})

def read():
    (value,) = {number for tensor in load(target).state_dict().values() for number in tensor.flatten().tolist()}
    return value
"""

FULL_DISK = """
save(1)
failures = 0
for limit in itertools.count(0, 400):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        save(2)
        break
    except StorageError as error:
        assert "cannot be written" in str(error) and "previous state is kept" in error.remedy, error
        failures += 1
    assert [path.name for path in target.parent.iterdir()] == ["best"], list(target.parent.iterdir())
    assert read() == 1
assert read() == 2
assert failures > 10, failures
"""

KILLED = """
def run(value, kill):
    # Save in a process of its own, and tell whether it came to its end.
    child = os.fork()
    if not child:
        try:
            kill()
            save(value)
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == 0

def kill_at(number):
    # Before the operation of this number on the folder: opening, making, renaming, removing, listing.
    seen = itertools.count()
    def watch(event, arguments):
        if arguments and str(arguments[0]).startswith(str(target.parent)) and next(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(watch)

for start in ("whole", "previous only"):
    for number in itertools.count():
        save(2 * number)
        if start == "previous only":
            target.rename(f"{target}.previous")
        done = run(2 * number + 1, lambda: kill_at(number))
        assert read() in ([2 * number + 1] if done else [2 * number, 2 * number + 1]), (start, number, read())
        if done:
            break
    assert number > 20, number

random.seed(5)
for number in range(4):
    child = os.fork()
    if not child:
        for value in itertools.count():
            save(value)
    time.sleep(random.uniform(0.01, 0.15))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    read()

remove_leftovers(target)
save(7)
assert read() == 7
assert [path.name for path in target.parent.iterdir()] == ["best"], list(target.parent.iterdir())
"""


@pytest.mark.process
@pytest.mark.parametrize("program", [FULL_DISK, KILLED], ids=["full disk", "killed"])
def test_a_checkpoint_survives(tmp_path: Path, program: str) -> None:
    """A save that fails or is killed at any point leaves a checkpoint that loads: the one before or the new one."""
    assert processes.finish(processes.start(run_program, PRELUDE + program, str(tmp_path))) == 0


def run_program(program: str, folder: str) -> None:
    exec(compile(program, "program", "exec"), {"folder": folder})
