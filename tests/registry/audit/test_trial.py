"""Imports on trial: one that does not end is stopped, one that ends the process or leaves one behind is survived."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vsezoo.registry.audit.trial import try_entries
from vsezoo.registry.entry import Entry

SCHEDULE = "def rate(step): return 1.0\n"
"""What needs no torch."""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_import_that_does_not_end(make_distribution: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {"made_endless": "import signal\nwhile True: signal.pause()", "made_sound": SCHEDULE}
    monkeypatch.syspath_prepend(make_distribution("demo", {}, modules))
    entries = [Entry("schedules", name, f"made_{name}:rate", "demo", "1.0", 1) for name in ("endless", "sound")]
    endless, sound = try_entries(entries, limit=3)
    assert endless.reason == "importing it took more than 3 s"
    assert sound.reason == ""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_imports_that_end_the_process(make_distribution: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {
        "made_vanishes": "import os\nos._exit(7)",
        "made_crashes": "import os\nos.kill(os.getpid(), 9)",
        "made_sound": SCHEDULE,
    }
    monkeypatch.syspath_prepend(make_distribution("demo", {}, modules))
    entries = [Entry("schedules", module, f"{module}:rate", "demo", "1.0", 1) for module in modules]
    assert [outcome.reason for outcome in try_entries(entries)] == [
        "importing it ended the process with exit code 7",
        "importing it ended the process with signal 9",
        "",
    ]


FORKS = """
import os, signal

child = os.fork()
if not child:
    signal.pause()  # holds all that it was born with, until it is told to end
open({file!r}, "w").write(str(child))
def rate(step): return 1.0
"""


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="processes of POSIX")
def test_an_import_that_leaves_a_process(
    make_distribution: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "child"
    monkeypatch.syspath_prepend(make_distribution("demo", {}, {"made_forks": FORKS.format(file=str(file))}))
    try:
        (outcome,) = try_entries([Entry("schedules", "forks", "made_forks:rate", "demo", "1.0", 1)])
        os.kill(int(file.read_text()), 0)  # raises if it has ended, and the test has shown nothing
    finally:
        os.kill(int(file.read_text()), signal.SIGKILL)
    assert outcome.reason == ""
