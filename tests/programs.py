"""What `subprocess` does for `python -c`, in processes that need not import torch; no tests in here."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import SimpleNamespace
from typing import IO, Any

import processes

from vsezoo import registry


class Popen:
    """A process that runs the program of a command, whose modules it finds as that would."""

    def __init__(
        self,
        command: list[str],
        *,
        env: Mapping[str, str],
        stdin: int,
        stdout: int | IO[Any],
        stderr: IO[Any] | None = None,
        **options: Any,
    ) -> None:
        number = command.index("-c")
        read, answers = multiprocessing.Pipe(duplex=False)
        questions, write = multiprocessing.Pipe(duplex=False)
        files = [stream if stream is None else stream.name for stream in (None if stdout == PIPE else stdout, stderr)]
        started = (command[number + 1], ["-c", *command[number + 2 :]], dict(env), questions, answers, files)
        self.process = processes.start(_run, *started)
        self.stdin = os.fdopen(os.dup(write.fileno()), "w", encoding="utf-8")
        self.stdout = os.fdopen(os.dup(read.fileno()), encoding="utf-8")
        for end in (read, answers, questions, write):
            end.close()
        if stdin != PIPE:
            self.stdin.close()

    def __enter__(self) -> Popen:
        return self

    def __exit__(self, *error: object) -> None:
        self.stdin.close()
        self.stdout.close()
        self.wait()

    def wait(self) -> int:
        """Return the exit code."""
        return processes.finish(self.process)


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the program of a command."""
    with Popen(command, **options) as process:
        return subprocess.CompletedProcess(command, process.wait())


PIPE = subprocess.PIPE
FORKED = SimpleNamespace(Popen=Popen, run=run, PIPE=PIPE, DEVNULL=subprocess.DEVNULL)
"""For a module's `subprocess`."""


def _run(
    program: str,
    arguments: list[str],
    env: dict[str, str],
    questions: Connection,
    answers: Connection,
    files: list[str | None],
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.dup2(questions.fileno(), 0)
    os.dup2(answers.fileno(), 1)
    sys.stdin = os.fdopen(0, encoding="utf-8")
    for number, file in enumerate(files, start=1):
        if file is not None:
            os.dup2(os.open(file, os.O_WRONLY | os.O_APPEND), number)
    questions.close()
    answers.close()
    sys.argv = arguments
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    registry.list_distributions.cache_clear()
    exec(compile(program, "<string>", "exec"), {"__name__": "__main__"})
