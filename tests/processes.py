"""Processes that start in milliseconds, and what a command line that ran in one leaves; no tests in here."""

from __future__ import annotations

import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from click.testing import Result

from vsezoo.cli import main

PATIENCE = 600
"""Seconds for what takes a few; a busy machine may need them."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pytest", "vsezoo.cli.caption", "vsezoo.cli.eval", "vsezoo.cli.train", "preloaded"])
_starting = threading.Lock()


def start(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Start a function of a module in a process of its own, forked from one that has torch already."""
    start_server()
    process = _processes.Process(target=_run, args=(target, *arguments))
    process.start()
    return process


def start_server() -> None:
    """Start what processes are forked from, also by others, if it does not run; it finds modules by its environment."""
    with _starting:
        before = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), before]))
        try:
            forkserver.ensure_running()
        finally:
            del os.environ["PYTHONPATH"]
            if before is not None:
                os.environ["PYTHONPATH"] = before


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
    return read_command(folder, _start_in(folder, target, *arguments))


def start_command(folder: Path, *arguments: str | Path, before: Callable[[], None] | None = None) -> BaseProcess:
    """Start `vsezoo` as `run_command` does, without waiting for its end."""
    return _start_in(folder, _run_main, [str(argument) for argument in arguments], before)


def read_command(folder: Path, process: BaseProcess) -> Done:
    """Wait for a command that was started in a folder, and return what it left."""
    code = finish(process)
    stdout, stderr = ((folder / name).read_text(encoding="utf-8") for name in (".stdout", ".stderr"))
    return Done(code, stdout, stderr)


def wait_until(process: BaseProcess, condition: Callable[[], Any]) -> Any:
    """Wait until something is true of what a process has left so far, and return it; the process must not end before.

    Raises:
        TimeoutError: if it does not become true.
    """
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if process.exitcode is not None or time.monotonic() > end:
            raise TimeoutError(f"the process {process.exitcode} has not come so far")
        time.sleep(0.02)
    return found


def _run(target: Callable[..., None], *arguments: Any) -> None:
    import torch  # which only they need

    torch.set_num_threads(1)
    target(*arguments)


def _start_in(folder: Path, target: Callable[..., None], *arguments: Any) -> BaseProcess:
    folder.mkdir(parents=True, exist_ok=True)
    for name in (".stdout", ".stderr"):
        (folder / name).write_bytes(b"")  # for who looks before the process writes
    return start(_run_in, str(folder), target, *arguments)


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


def measure_peak() -> int:
    """Return the most memory that this process has had, in bytes; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text(encoding="utf-8").splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def set_cache() -> None:
    """Have what a command keeps in the folder where it runs: for `before`."""
    os.environ["VSEZOO_CACHE"] = str(Path.cwd() / "cache")
