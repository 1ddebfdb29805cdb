"""Processes that start in milliseconds, and what a command line that ran in one leaves; no tests in here."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from click.testing import Result

from vsezoo.cli import main

PATIENCE = 600
"""Seconds for what takes a few; a busy machine may need them."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(
    [
        "pytest",
        "torch._dynamo",  # which torch's optimisers import when the first is made
        "vsezoo.captioning.loss",
        "vsezoo.cli.caption",
        "vsezoo.cli.eval",
        "vsezoo.cli.train",
        "vsezoo.data.precomputed.pairs",
        "vsezoo.encoders.recurrent",
        "vsezoo.encoders.bow",
        "vsezoo.encoders.recurrent",
        "vsezoo.encoders.precomputed",
        "vsezoo.encoders.regions",
        "vsezoo.losses",
        "vsezoo.similarities",
        "vsezoo.training.train",
        "vsezoo_vsepp.recipes",
    ]
)


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a function of a module in a process of its own, forked from one that has torch already."""
    process = _processes.Process(target=_run, args=(target, *arguments))
    process.start()
    return process


def finish(process: BaseProcess) -> int:
    """Wait for a process and return its exit code."""
    process.join(PATIENCE)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError("the process did not end")
    return process.exitcode


@dataclass(frozen=True)
class Done:
    """What a command left."""

    code: int
    stdout: str
    stderr: str


def run_command(folder: Path, *arguments: str | Path, before: Callable[[], None] | None = None) -> Done:
    """Run `vsezoo` in a process of its own, in a folder, after a function that changes the process."""
    return run(folder, _run_main, [str(argument) for argument in arguments], before)


def run(folder: Path, target: Callable[..., None], *arguments: Any) -> Done:
    """Run a function of a module in a process of its own, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    code = finish(start(_run_in, str(folder), target, *arguments))
    stdout, stderr = ((folder / name).read_text(encoding="utf-8") for name in (".stdout", ".stderr"))
    return Done(code, stdout, stderr)


def _run(target: Callable[..., None], *arguments: Any) -> None:
    import torch  # which only they need

    torch.set_num_threads(1)
    target(*arguments)


def _run_in(folder: str, target: Callable[..., None], *arguments: Any) -> None:
    os.chdir(folder)
    os.environ.pop("COLUMNS", None)
    for stream, name in ((sys.stdout, ".stdout"), (sys.stderr, ".stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream.fileno())
    target(*arguments)


def _run_main(arguments: list[str], before: Callable[[], None] | None) -> None:
    if before:
        before()
    main(arguments, prog_name="vsezoo")


def assert_one_message(result: Result | Done, code: int, message: str) -> None:
    """The exit code, nothing on standard output, and one message on standard error that says this."""
    found = result.exit_code if isinstance(result, Result) else result.code
    assert found == code, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert result.stderr.count("Error: ") == 1
    assert re.search(message, result.stderr.partition("Error: ")[2]), result.stderr


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def set_cache() -> None:
    """Have what a command keeps in the folder where it runs: for `before`."""
    os.environ["VSEZOO_CACHE"] = str(Path.cwd() / "cache")
