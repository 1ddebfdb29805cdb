"""`vsezoo list-models`, and what the frame of the command line does for every command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import call_vsezoo

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def plugins(make_distribution: Callable[..., Path], recipe_source: Callable[..., str]) -> tuple[Path, ...]:
    """Two distributions: aliases, a conflict, and a model that cannot be loaded."""
    long = "A summary of many words, " * 12
    modules = {
        "made_a": "print('noise')" + recipe_source("alpha-2", long),
        "made_b": "raise SystemExit(7)",
        "made_t": recipe_source("twin"),
    }
    models = {
        "alpha-2": "made_a:recipe",
        "first": "made_a:recipe",
        "alpha-10": "made_b:recipe",
        "twin": "made_t:recipe",
    }
    left = make_distribution("left", {"models": models}, modules, version="1.5")
    right = make_distribution("right", {"models": {"twin": "made_r:recipe"}}, {"made_r": recipe_source("twin")})
    return left, right


def test_json(plugins: tuple[Path, ...]) -> None:
    done = call_vsezoo("list-models", "--json", path=plugins)
    assert done.returncode == 0
    models = {model["name"]: model for model in json.loads(done.stdout)}
    assert models["alpha-2"]["aliases"] == ["first"]
    assert "first" not in models
    assert models["alpha-2"]["summary"].startswith("A summary of many words")
    assert (models["alpha-2"]["distribution"], models["alpha-2"]["version"]) == ("left", "1.5")
    assert models["alpha-2"]["failed"] is None
    assert models["alpha-10"]["failed"] == "SystemExit: 7"
    assert models["left:twin"]["conflict"]
    assert models["right:twin"]["conflict"]
    assert models["vsepp"]["aliases"] == ["vse++"]
    assert models["vsepp"]["paper"] == "Faghri 2018"
    assert "noise" in done.stderr
    names = list(models)
    assert names.index("alpha-2") < names.index("alpha-10") < names.index("left:twin") < names.index("vsepp")


@pytest.mark.parametrize("columns", [None, 60, 80, 200])
def test_names_are_never_cut(plugins: tuple[Path, ...], columns: int | None) -> None:
    environment = {} if columns is None else {"COLUMNS": str(columns)}
    done = call_vsezoo("list-models", path=plugins, env=environment)
    assert done.returncode == 0
    assert "…" not in done.stdout
    for name in ("alpha-2", "(first)", "left:twin", "vsepp", "(vse++)", "FAILED", "CONFLICT"):
        assert name in done.stdout
    lines = done.stdout.splitlines()
    if columns is None:  # one line for each model where no one looks: they can be searched line by line
        (line,) = [line for line in lines if line.startswith("alpha-2")]
        assert line.count("A summary of many words,") == 12
    else:
        assert max(map(len, lines)) <= columns


def test_pattern(plugins: tuple[Path, ...]) -> None:
    def names(pattern: str) -> list[str]:
        return [
            model["name"] for model in json.loads(call_vsezoo("list-models", pattern, "--json", path=plugins).stdout)
        ]

    assert names("alpha-*") == ["alpha-2", "alpha-10"]
    assert names("FIR*") == ["alpha-2"]  # by its alias, without regard to case
    assert names("*twin") == ["left:twin", "right:twin"]


def test_pattern_that_matches_nothing(plugins: tuple[Path, ...]) -> None:
    done = call_vsezoo("list-models", "alfa-2", path=plugins)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Error: No model matches 'alfa-2'.\nDid you mean 'alpha-2'? Try '*alfa-2*'" in done.stderr


@pytest.mark.slow
def test_no_plugins(plugins: tuple[Path, ...]) -> None:
    done = call_vsezoo("--no-plugins", "list-models", "--json", path=plugins)
    assert {model["distribution"] for model in json.loads(done.stdout)} == {"vsezoo"}
    allowed = call_vsezoo("list-models", "--json", path=plugins, env={"VSEZOO_PLUGINS": "Left"})
    names = {model["name"] for model in json.loads(allowed.stdout)}
    assert "twin" in names  # the other one of that name is not allowed
    assert "right:twin" not in names


@pytest.mark.slow
def test_help_lists_commands_that_fail(make_distribution: Callable[..., Path]) -> None:
    path = (make_distribution("demo", {"commands": {"bad": "made_bad:bad"}}, {"made_bad": "1 / 0"}),)
    done = call_vsezoo("--help", path=path)
    assert done.returncode == 0
    assert " bad FAILED: ZeroDivisionError: division by zero " in " ".join(done.stdout.split())
    assert "list-models" in done.stdout
    used = call_vsezoo("bad", path=path)
    assert used.returncode == 1
    assert used.stderr.startswith("Error: The command 'bad' of demo 1.0 cannot be loaded from made_bad:bad: ZeroDiv")
    assert "Traceback" not in used.stderr
    assert call_vsezoo("list-models", path=path).returncode == 0
    with pytest.raises(ZeroDivisionError):
        call_vsezoo("bad", path=path, env={"VSEZOO_RAISE_PLUGIN_ERRORS": "1"})


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
def test_closed_outputs() -> None:
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        command = ["sh", "-c", f'exec "$0" -m vsezoo list-models {closed}', sys.executable]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


def test_usage_errors() -> None:
    command = call_vsezoo("list-modles")
    assert (command.returncode, command.stdout) == (2, "")
    assert command.stderr.startswith("Error: There is no command 'list-modles'.\nDid you mean 'list-models'?")
    option = call_vsezoo("list-models", "--jsno")
    assert option.returncode == 2
    assert "Did you mean '--json'?" in option.stderr
    without = call_vsezoo("list-models", "--no-plugins")
    assert without.returncode == 2


def test_version(run_vsezoo: Run) -> None:
    assert run_vsezoo("--version").stdout == f"vsezoo {version('vsezoo')}\n"
    assert call_vsezoo("-h").stdout == call_vsezoo("--help").stdout


COMMAND = """
import errno, os, sys, time, click

@click.command("probe")
@click.option("--two-words")
@click.option("--fail", type=click.Choice(["open_file", "full", "odd", "wait"]))
def probe(two_words, fail):
    '''A command of the tests.'''
    if fail == "open_file":
        open("absent.txt")
    if fail == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "big.bin")
    if fail == "odd":
        raise OSError("no errno at all")
    if fail == "wait":
        print("ready", flush=True)
        while True:  # a signal that comes just before a long sleep would end after it
            time.sleep(0.05)
    click.echo(f"{two_words}")
"""


@pytest.fixture
def probe(make_distribution: Callable[..., Path]) -> Path:
    return make_distribution("prober", {"commands": {"probe": "made_probe:probe"}}, {"made_probe": COMMAND})


@pytest.mark.slow
def test_underscores_in_options_and_not_in_values(probe: Path) -> None:
    for option in ("--two-words", "--two_words"):
        assert call_vsezoo("probe", option, "a_b-c", path=(probe,)).stdout == "a_b-c\n"
        assert call_vsezoo("probe", f"{option}=--x_y", path=(probe,)).stdout == "--x_y\n"
    assert "absent.txt" in call_vsezoo("probe", "--fail=open_file", path=(probe,)).stderr
    assert call_vsezoo("list_models", "vsepp").returncode == 0


def test_errors_of_the_system_are_one_message(probe: Path) -> None:
    absent = call_vsezoo("probe", "--fail", "open_file", path=(probe,))
    assert (absent.returncode, absent.stderr) == (1, "Error: absent.txt: No such file or directory.\nCheck the path.\n")
    full = call_vsezoo("probe", "--fail", "full", path=(probe,))
    assert full.returncode == 1
    assert (
        full.stderr
        == "Error: big.bin: No space left on device.\nFree some space on the disk, or write to another place.\n"
    )
    with pytest.raises(OSError, match="no errno at all"):  # a fault, not a mishap
        call_vsezoo("probe", "--fail", "odd", path=(probe,))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [("list-models",), ("--help",), ("show", "--help"), ("--version",)])
def test_full_disk_behind_standard_output(run_vsezoo: Run, arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        done = run_vsezoo(*arguments, stdout=full, capture_output=False, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: No space left on device.\n")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("arguments", [("list-models",), ("list-plugins", "--json"), ("--help",)])
def test_closed_pipe_is_silent(run_vsezoo: Run, arguments: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run_vsezoo(*arguments, stdout=writing, capture_output=False, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_interrupt(probe: Path) -> None:
    script = Path(sys.executable).with_name("vsezoo")
    process = subprocess.Popen(
        [script, "probe", "--fail", "wait"],
        env=os.environ | {"PYTHONPATH": str(probe)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "Interrupted.\n"


def test_no_plugins_reaches_child_processes(run_vsezoo: Run, make_distribution: Callable[..., Path]) -> None:
    # A command of vsezoo's own distribution stays allowed: shadow its metadata with one more command.
    source = "import os, subprocess, sys, click\n@click.command()\ndef spawn():\n" + (
        "    subprocess.run([sys.executable, '-c', 'import os; print(os.environ[\"VSEZOO_PLUGINS\"])'], check=True)\n"
    )
    path = (make_distribution("vsezoo", {"commands": {"spawn": "made_spawn:spawn"}}, {"made_spawn": source}),)
    assert run_vsezoo("--no_plugins", "spawn", path=path).stdout == "none\n"
