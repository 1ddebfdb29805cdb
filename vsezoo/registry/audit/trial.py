"""Import registered objects in a separate process to find out whether they can be loaded, and recipes be built.

`os._exit` or a crash of a compiled extension, which no `except` can catch, ends only that process, as does an alarm if
an import does not finish. The object being imported is reported as failed, and a new process continues with the next.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from vsezoo.errors import INTERRUPTED, PluginError, VsezooError
from vsezoo.registry.entry import Entry, describe_error, explain
from vsezoo.registry.kinds import KINDS, import_object

LIMIT = 60
"""Seconds that the import of an object may take, without the modules that its kind needs anyway."""


class Outcome(NamedTuple):
    """Outcome of an import.

    Attributes:
        reason: why it failed; empty on success.
        seconds: duration.
    """

    reason: str
    seconds: float


def try_entries(entries: Sequence[Entry], limit: int = LIMIT) -> list[Outcome]:
    """Import the object of each entry, with `limit` seconds for each, and return the outcomes."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(entries):
        outcomes += _try_until_end(entries[len(outcomes) :], limit)
    return outcomes


def _try_until_end(entries: Sequence[Entry], limit: int) -> Iterator[Outcome]:
    """Yield outcomes until the process ends; if an entry ended it, the last outcome is its failure."""
    tasks = json.dumps([(e.kind, e.name, e.value, e.distribution, e.version, e.api_version) for e in entries])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    command = [sys.executable, "-P", "-c", f"from {__name__} import main; main({limit})"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True, encoding="utf-8"
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(tasks)
        done = 0
        for line in process.stdout:
            done += 1
            yield Outcome(*json.loads(line))
            if done == len(entries):  # a process started by a plugin may keep the pipe open, so do not wait for its end
                break
        code = process.wait()
    if done < len(entries):
        end = f"ended the process with {f'signal {-code}' if code < 0 else f'exit code {code}'}"
        if sys.platform != "win32" and code == -signal.SIGALRM:
            end = f"took more than {limit} s"
        yield Outcome(f"importing it {end}", 0.0)


def main(limit: int) -> None:
    """Import the entries named on standard input; write one line of JSON for each to the original standard output."""
    tasks = [Entry(*fields) for fields in json.load(sys.stdin)]
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # everything that plugins print goes to standard error
        _prepare(tasks)
        for task in tasks:
            _set_alarm(limit)
            outcome = _try(task)
            _set_alarm(0)
            _answer(answers, outcome)
    sys.stderr.flush()
    os._exit(0)  # threads and exit handlers of plugins must not keep the process alive


def _prepare(tasks: Iterable[Entry]) -> None:
    """Import the modules that all objects of a kind need, so that their time is not counted."""
    for kind in {task.kind for task in tasks}:
        with suppress(Exception):  # a damaged installation: importing the objects will show it
            import_object(KINDS[kind].base)
            if KINDS[kind].check:
                import_object(KINDS[kind].check)


def _try(entry: Entry) -> Outcome:
    start, seconds, reason = time.perf_counter(), None, ""
    try:
        thing = entry.load()
        seconds = time.perf_counter() - start
        reason = _check(entry, thing)
    except PluginError as error:
        reason = explain(error)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    except BaseException as error:  # VSEZOO_RAISE_PLUGIN_ERRORS=1 asks for the whole traceback
        traceback.print_exc()
        reason = describe_error(error)
    return Outcome(reason, time.perf_counter() - start if seconds is None else seconds)


def _check(entry: Entry, thing: Any) -> str:
    """Return why an object cannot be used although it was imported, such as a recipe with an unknown part."""
    try:
        if KINDS[entry.kind].check:
            import_object(KINDS[entry.kind].check)(thing)
    except VsezooError as error:
        return f"{error.problem} {error.remedy or ''}".strip()
    return ""


def _set_alarm(seconds: int) -> None:
    """End the process after so many seconds; 0: never. Windows has no alarms."""
    if sys.platform != "win32":
        signal.alarm(seconds)


def _answer(answers: IO[str], outcome: Outcome) -> None:
    answers.write(json.dumps(outcome) + "\n")
    answers.flush()
