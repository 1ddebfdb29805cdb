"""The hostile files through `vsezoo convert`: each is one message and exit code 1, and leaves nothing."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny
from hostile_files import CORPUS

import vsezoo
from vsezoo.cli import main

GIGABYTE = 2**30


def measure_peak() -> int:
    """Return the most memory that this process has had, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def convert_all(folder: Path, commands: dict[str, list[str]]) -> None:
    """Run `vsezoo convert` with each of these arguments, and write what came of it to a file."""
    outcomes = {}
    for name, arguments in commands.items():
        out, err, code = io.StringIO(), io.StringIO(), 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main(["convert", *arguments, "--output", str(folder / "output" / name)], prog_name="vsezoo")
            except SystemExit as leave:
                code = leave.code if isinstance(leave.code, int) else -1
        outcomes[name] = {"code": code, "stdout": out.getvalue(), "stderr": err.getvalue(), "peak": measure_peak()}
    (folder / "outcomes.json").write_text(json.dumps(outcomes), encoding="utf-8")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Convert every file of the corpus; vocabularies as those of a sound checkpoint, too."""
    folder = tmp_path_factory.mktemp("hostile-conversion")
    tiny.save_model(folder / "sound")
    checkpoint = vsezoo.export(folder / "sound", "vsepp", folder / "old" / "model_best.pth.tar")[0]
    canary, commands = folder / "ran", {}
    for name, (reader, write) in CORPUS.items():
        path = folder / f"{name}.bin"
        write(path, canary)
        commands[name] = [str(path)]
        if reader == "vocabulary":
            commands[f"{name}-as-vocab"] = [str(checkpoint), "--vocab", str(path)]
    assert processes.finish(processes.start(convert_all, folder, commands)) == 0
    assert not canary.exists()
    assert not list((folder / "output").glob("*")), "something was written"
    found: dict[str, Any] = json.loads((folder / "outcomes.json").read_text(encoding="utf-8"))
    assert found.keys() == commands.keys()
    return found


@pytest.mark.process
def test_every_file_is_one_message(outcomes: dict[str, Any]) -> None:
    assert len(outcomes) > len(CORPUS)
    for name, outcome in outcomes.items():
        absent = name == "pickle-absent"  # as a call with a path that is wrong
        assert (outcome["code"], outcome["stdout"]) == (2 if absent else 1, ""), (name, outcome)
        assert outcome["stderr"].startswith("Error: /"), (name, outcome)
        assert "Traceback" not in outcome["stderr"], name
        assert ".bin: " in outcome["stderr"].splitlines()[0], (name, outcome)
        assert outcome["stderr"].replace("\n", "").isprintable(), name
        assert outcome["peak"] < GIGABYTE, name


@pytest.mark.process
def test_no_importer_is_surprised(outcomes: dict[str, Any]) -> None:
    """What catches the errors of a careless importer is not needed by ours."""
    surprised = [name for name, outcome in outcomes.items() if "was not expected by" in outcome["stderr"]]
    assert not surprised


@pytest.mark.process
def test_the_name_that_was_refused_is_told(outcomes: dict[str, Any]) -> None:
    assert "refers to posix.system (os.system), which" in outcomes["pickle-os-system-2"]["stderr"]
    assert "Nothing in the file was executed" in outcomes["pickle-os-system-2"]["stderr"]
