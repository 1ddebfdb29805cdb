"""Do one run of a plan: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vsezoo.comparison.hits import NAMES
from vsezoo.errors import INTERRUPTED, InterruptedTrainingError, StorageError, VsezooError, explain_system
from vsezoo.storage.atomic_file import write_whole
from vsezoo.sweeps.listing import FAILURE, PRUNED, is_running
from vsezoo.sweeps.plan import Plan, PlannedRun

if TYPE_CHECKING:
    from vsezoo.training.plan import RunOptions

PREDICTIONS = NAMES[0]
CONSOLE = "console.txt"
"""What a run in a process of its own has printed, in its folder."""


@dataclass(frozen=True)
class SweepOptions:
    """How the runs of a sweep are made.

    Attributes:
        device: `auto`, `cpu`, `cuda`, …
        workers: data loader workers of each run.
        jobs: runs at a time.
    """

    device: str = "auto"
    workers: int = 0
    jobs: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        run: which.
        folder: its folder.
        problem: why it ended early; empty: it is done.
    """

    run: PlannedRun
    folder: Path
    problem: str = ""


def carry_out(
    plan: Plan, run: PlannedRun, options: SweepOptions, report: Callable[[str], object], place: str
) -> Outcome:
    """Do a run, here or in a process of its own, and note why it failed if it did.

    Args:
        plan: what it belongs to.
        run: which.
        options: how.
        report: called with a line when it starts and when it has failed.
        place: its number in that line.

    Raises:
        InterruptedTrainingError: after Ctrl-C.
        StorageError: if its folder cannot be made.
    """
    folder = plan.folder / run.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason, remedy = explain_system(error)
        raise StorageError(f"cannot be made: {reason}.", file=folder, remedy=remedy) from error
    report(f"Run {place}: {run.name}")
    outcome = (_do_here if options.jobs == 1 else _do_in_process)(plan, run, options)
    if outcome.problem:
        report(f"{run.name} failed: {outcome.problem}")
        if not is_running(folder):  # another process may be training it, after a sweep was killed
            write_whole(folder / FAILURE, f"{outcome.problem}\n".encode(errors="backslashreplace"))
    return outcome


def do_run(task: dict[str, Any]) -> None:
    """Train a run, or continue it, and write its predictions; those of a trial are not looked at.

    Args:
        task: what `describe_task` gives.
    """
    from vsezoo.data.source import OpenOptions
    from vsezoo.devices import choose_device
    from vsezoo.evaluation.evaluate import evaluate
    from vsezoo.training.plan import DEFAULT_DATA, RunOptions
    from vsezoo.training.resume import is_begun
    from vsezoo.training.train import start_run

    folder, root = Path(task["folder"]), None if task["data_root"] is None else Path(task["data_root"])
    (folder / FAILURE).unlink(missing_ok=True)
    opening = OpenOptions(root, **task["opening"])
    options = RunOptions(folder, is_begun(folder), None, task["device"], task["workers"], opening=opening)
    if task["trial"]:
        do_trial(task, options)
        return
    result = start_run(task["model"], task["data"] or DEFAULT_DATA, task["settings"], options)
    labels = result.evaluation
    evaluate(
        result.checkpoint,
        task["data"] or labels.data,
        split=labels.split,
        data_root=root,
        full_dev=bool(task["opening"].get("full_dev")),
        device=choose_device(task["device"]),
        predictions=folder / PREDICTIONS,
    )


def do_trial(task: Mapping[str, Any], options: RunOptions) -> None:
    """Train a trial of a search, or continue it, until it is done or hopeless."""
    from vsezoo.sweeps.pruning import PrunedTrial, Pruning
    from vsezoo.training.plan import DEFAULT_DATA
    from vsezoo.training.train import start_run

    folder = Path(task["folder"])
    callbacks = [Pruning(folder)] if task["prune"] else []
    try:
        start_run(task["model"], task["data"] or DEFAULT_DATA, task["settings"], options, callbacks=callbacks)
    except PrunedTrial:
        write_whole(folder / PRUNED, b"Worse than the median of the other trials at this point.\n")


def describe_task(plan: Plan, run: PlannedRun, options: SweepOptions) -> dict[str, Any]:
    """Return what `do_run` takes, as JSON values."""
    return {
        "folder": str(plan.folder / run.name),
        "model": plan.model,
        "data": plan.data,
        "data_root": plan.data_root,
        "settings": dict(run.settings),
        "opening": dict(plan.opening),
        "device": options.device,
        "workers": options.workers,
        "trial": plan.search is not None,
        "prune": plan.search is not None and plan.search.prune,
    }


def _do_here(plan: Plan, run: PlannedRun, options: SweepOptions) -> Outcome:
    folder = plan.folder / run.name
    try:
        do_run(describe_task(plan, run, options))
    except InterruptedTrainingError:
        raise
    except VsezooError as error:
        return Outcome(run, folder, str(error))
    return Outcome(run, folder)


def _do_in_process(plan: Plan, run: PlannedRun, options: SweepOptions) -> Outcome:
    folder = plan.folder / run.name
    threads = str(max(1, (os.cpu_count() or 1) // options.jobs))
    program = "import json, sys; from vsezoo.sweeps.worker import main; main(json.loads(sys.argv[1]))"
    task = json.dumps(describe_task(plan, run, options))
    with (folder / CONSOLE).open("ab") as console:
        done = subprocess.run(
            [sys.executable, "-c", program, task],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            env={"OMP_NUM_THREADS": threads, **os.environ},
        )
    if done.returncode in (INTERRUPTED, -2):
        raise InterruptedTrainingError("The sweep was stopped.", remedy="The same command continues it.")
    problem = _read_last_lines(folder / CONSOLE) if done.returncode else ""
    return Outcome(run, folder, problem)


def _read_last_lines(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return " ".join(lines[-2:]) or f"see {file}"
