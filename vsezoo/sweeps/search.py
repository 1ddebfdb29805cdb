"""Search for the best settings by the dev split: trials, each a run, chosen from those before."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from vsezoo.errors import UsageError
from vsezoo.sweeps.plan import SEED, Plan, PlannedRun
from vsezoo.sweeps.running import SweepOptions, carry_out
from vsezoo.sweeps.study import choose_settings
from vsezoo.sweeps.trials import Trial, add_trial, list_trials


def search(
    plan: Plan, options: SweepOptions | None = None, *, report: Callable[[str], object] = lambda line: None
) -> list[Trial]:
    """Do the trials of a search that are not done yet.

    A trial that was stopped is continued with its settings, one that failed is tried again. More trials than before
    continue a search.

    Args:
        plan: what to run; its `search` says what is chosen.
        options: how.
        report: called with a line when a trial is started, and when it has failed.

    Returns:
        all trials, by number.

    Raises:
        InterruptedTrainingError: after Ctrl-C; the same call continues.
        MissingPackageError: without optuna.
        StorageError: if a folder cannot be written.
        UsageError: for a plan with a grid, a list or several seeds.
    """
    options = options or SweepOptions()
    wanted = plan.search
    if wanted is None or plan.grid or plan.listed or len(plan.seeds) != 1:
        problem = "A search has neither a grid nor a list, and one seed: it chooses the settings itself."
        raise UsageError(problem, remedy="Search with one seed, and then train the best settings with several.")
    found = list_trials(plan.folder)
    waiting = [trial for trial in found if trial.state in ("open", "failed")]
    if done := len(found) - len(waiting):
        report(f"{done} of {wanted.trials} trials are done already.")
    lock = Lock()

    def take() -> Trial | None:
        """Return the next trial; None: there is no other."""
        with lock:
            if waiting:
                return waiting.pop(0)
            known = list_trials(plan.folder)
            if len(known) >= wanted.trials:
                return None
            number = max((trial.number for trial in known), default=0) + 1
            return add_trial(plan.folder, number, choose_settings(wanted, known))

    def work() -> None:
        while trial := take():
            settings = {**plan.settings, SEED: plan.seeds[0], **trial.settings}
            run = PlannedRun(trial.folder.name, settings)
            carry_out(plan, run, options, report, f"{trial.number} of {wanted.trials}")

    choose_settings(wanted, found)  # what is wrong with the space or absent, before anything is trained
    if options.jobs == 1:
        work()
    else:
        with ThreadPoolExecutor(options.jobs) as pool:
            for future in [pool.submit(work) for _ in range(options.jobs)]:
                future.result()
    return list_trials(plan.folder)


def find_best(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the best score on the dev split, of equal ones the first; None: there is none."""
    done = [trial for trial in trials if trial.state == "complete" and trial.best is not None]
    return max(done, key=lambda trial: trial.best or 0.0, default=None)


def write_command(plan: Plan, trial: Trial, seeds: int = 3) -> str:
    """Return the command that trains the settings of a trial with several seeds."""
    words = ["vsezoo", "sweep", plan.model]
    for flag, value in (("--data", plan.data), ("--data-root", plan.data_root)):
        words += [] if value is None else [flag, value]
    words += [f"--{name.replace('_', '-')}" for name, wanted in plan.opening.items() if wanted]
    for name, value in {**plan.settings, **trial.settings}.items():
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join([*words, "--seeds", str(seeds)])
