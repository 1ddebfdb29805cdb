"""The order of the house: files that can be read at a sitting, and tests that are found where their code is."""

from __future__ import annotations

import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = ROOT / "tests"

SOURCES = sorted([*(ROOT / "vsezoo").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")])
LONGEST = 300
"""Lines of a file."""
LONGER = {"vsezoo/interfaces.py": 340}
"""The one file that the author of a part must read."""
TYPICAL = 150
"""Lines of more than half of the files."""

IN_PLACE = re.compile(r"\.write_(?:text|bytes)\(|\.open\(\"[wax]b?\"")
WRITERS = {
    "vsezoo/checkpoints/writing.py",
    "vsezoo/cli/__init__.py",
    "vsezoo/cli/command.py",
    "vsezoo/conversion/output.py",
    "vsezoo/data/caption_file.py",
    "vsezoo/data/pictures/writing/convert.py",
    "vsezoo/data/pictures/writing/forms.py",
    "vsezoo/data/precomputed/collected.py",
    "vsezoo/evaluation/predictions.py",
    "vsezoo/scaffold/package.py",
    "vsezoo/search/stored/remote.py",
    "vsezoo/storage/atomic_file.py",
    "vsezoo/storage/checkpoint_layout.py",
    "vsezoo/storage/snapshot.py",
    "vsezoo/sweeps/running.py",
    "vsezoo/training/board.py",
    "vsezoo/training/callbacks.py",
}
"""What writes into temporary files and folders, which take their place when they are whole, or appends to logs."""

OTHERS = {"thirdparty", "before"}
"""Folders of tests that hold no tests: a distribution, and checkpoints."""
ACROSS = {"fuzz"}
"""Folders of tests that test parts of all folders."""

FOLDERS = sorted(
    folder.relative_to(TESTS)
    for folder in TESTS.rglob("*")
    if folder.is_dir() and not (OTHERS | ACROSS) & set(folder.parts) and any(folder.rglob("test_*.py"))
)


def count_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_no_file_is_long() -> None:
    lines = {path.relative_to(ROOT).as_posix(): count_lines(path) for path in SOURCES}
    assert {name: count for name, count in lines.items() if count > LONGER.get(name, LONGEST)} == {}


def test_files_are_replaced_whole() -> None:
    """By `vsezoo.storage.atomic_file`: what writes a file in its place loses both versions when the disk is full."""
    own = [path for path in SOURCES if path.is_relative_to(ROOT / "vsezoo") and "testing" not in path.parts]
    found = {path.relative_to(ROOT).as_posix() for path in own if IN_PLACE.search(path.read_text(encoding="utf-8"))}
    assert found == WRITERS


def test_most_files_are_short() -> None:
    lines = [count_lines(path) for path in SOURCES if path.name != "__init__.py"]
    assert len(lines) > 200
    assert statistics.median(lines) < TYPICAL


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_tests_has_the_name_of_what_it_tests(folder: Path) -> None:
    """`tests/data/pictures` is of `vsezoo/data/pictures`, `tests/plugins/vsrn` of `plugins/vsezoo_vsrn`."""
    if folder.parts[0] == "plugins":
        place = ROOT.joinpath("plugins", *(f"vsezoo_{name}" for name in folder.parts[1:2]), *folder.parts[2:])
    else:
        place = ROOT / "vsezoo" / folder
    assert place.is_dir()
