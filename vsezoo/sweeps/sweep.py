"""Do the runs of a plan: one after the other, or several at a time in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.comparison.hits import NAMES
from vsezoo.errors import INTERRUPTED, InterruptedTrainingError, StorageError, VsezooError, explain_system
from vsezoo.sweeps.listing import FAILURE, is_complete, is_running
from vsezoo.sweeps.plan import Plan, PlannedRun

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


def sweep(
    plan: Plan, options: SweepOptions | None = None, *, report: Callable[[str], object] = lambda line: None
) -> list[Outcome]:
    """Do the runs of a plan that are not done yet, and write the predictions of each.

    A run that was stopped is continued; one that is done is not touched. A run that fails does not stop the others.

    Args:
        plan: what to run.
        options: how.
        report: called with a line when a run is started, and when it has ended.

    Raises:
        InterruptedTrainingError: after Ctrl-C; the same call continues.
        StorageError: if a folder cannot be written.
    """
    options = options or SweepOptions()
    runs = plan.list_runs()
    waiting = [run for run in runs if not is_done(plan.folder / run.name)]
    if done := len(runs) - len(waiting):
        report(f"{done} of {len(runs)} runs are done already.")
    for run in waiting:
        _make_folder(plan.folder / run.name)
    do = _do_here if options.jobs == 1 else _do_in_process
    numbers = {run.name: f"{number} of {len(runs)}" for number, run in enumerate(runs, start=1)}

    def follow(run: PlannedRun) -> Outcome:
        report(f"Run {numbers[run.name]}: {run.name}")
        outcome = do(plan, run, options)
        if outcome.problem:
            report(f"{run.name} failed: {outcome.problem}")
            if not is_running(outcome.folder):  # another process may be training it, after a sweep was killed
                (outcome.folder / FAILURE).write_text(f"{outcome.problem}\n", encoding="utf-8")
        return outcome

    if options.jobs == 1:
        outcomes = [follow(run) for run in waiting]
    else:
        with ThreadPoolExecutor(options.jobs) as pool:
            outcomes = list(pool.map(follow, waiting))
    found = {outcome.run.name: outcome for outcome in outcomes}
    return [found.get(run.name, Outcome(run, plan.folder / run.name)) for run in runs]


def is_done(folder: Path) -> bool:
    """Tell whether a run is complete and its predictions are written."""
    return is_complete(folder) and (folder / PREDICTIONS).is_file()


def do_run(task: dict[str, Any]) -> None:
    """Train a run, or continue it, and write its predictions.

    Args:
        task: what `describe_task` gives.
    """
    from vsezoo.data.source import OpenOptions
    from vsezoo.devices import choose_device
    from vsezoo.evaluation.evaluate import evaluate
    from vsezoo.training.plan import RunOptions
    from vsezoo.training.train import start_run

    folder, root = Path(task["folder"]), None if task["data_root"] is None else Path(task["data_root"])
    (folder / FAILURE).unlink(missing_ok=True)
    opening = OpenOptions(root, **task["opening"])
    options = RunOptions(folder, True, None, task["device"], task["workers"], opening=opening)
    result = start_run(task["model"], task["data"], task["settings"], options)
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


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason, remedy = explain_system(error)
        raise StorageError(f"cannot be made: {reason}.", file=folder, remedy=remedy) from error


def find_predictions(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the predictions of the runs that are done."""
    return [str(outcome.folder / PREDICTIONS) for outcome in outcomes if is_done(outcome.folder)]
