"""Do the runs of a plan: one after the other, or several at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vsezoo.sweeps.listing import is_complete
from vsezoo.sweeps.plan import Plan, PlannedRun
from vsezoo.sweeps.running import PREDICTIONS, Outcome, SweepOptions, carry_out


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
    numbers = {run.name: f"{number} of {len(runs)}" for number, run in enumerate(runs, start=1)}

    def follow(run: PlannedRun) -> Outcome:
        return carry_out(plan, run, options, report, numbers[run.name])

    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = [follow(run) for run in waiting] if options.jobs == 1 else list(pool.map(follow, waiting))
    found = {outcome.run.name: outcome for outcome in outcomes}
    return [found.get(run.name, Outcome(run, plan.folder / run.name)) for run in runs]


def is_done(folder: Path) -> bool:
    """Return whether a run is complete and its predictions are written."""
    return is_complete(folder) and (folder / PREDICTIONS).is_file()


def find_predictions(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the predictions of the runs that are done."""
    return [str(outcome.folder / PREDICTIONS) for outcome in outcomes if is_done(outcome.folder)]
