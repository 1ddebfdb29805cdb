"""`vsezoo sweep --trials`: search for settings, and print the trials."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from vsezoo.cli import console
from vsezoo.errors import VsezooError

if TYPE_CHECKING:
    from vsezoo.sweeps.plan import Plan
    from vsezoo.sweeps.running import SweepOptions


def search_settings(plan: Plan, options: SweepOptions, *, as_json: bool) -> None:
    """Search, and print all trials, the best one, and the command that trains it with several seeds.

    Raises:
        VsezooError: if a trial failed.
    """
    from vsezoo.sweeps.search import find_best, search, write_command

    trials = search(plan, options, report=console.print_note)
    best = find_best(trials)
    command = "" if best is None else write_command(plan, best)
    if as_json:
        listed = [{**asdict(trial), "folder": str(trial.folder), "best": trial.best} for trial in trials]
        value = {"trials": listed, "best": None if best is None else best.number, "command": command}
        console.print_json(value)
    else:
        rows = [
            [
                trial.folder.name,
                trial.state,
                "" if trial.best is None else f"{trial.best:.1f}",
                str(len(trial.scores)),
                " ".join(f"{name}={json.dumps(value)}" for name, value in trial.settings.items()),
            ]
            for trial in sorted(trials, key=lambda trial: -(trial.best or 0.0))
        ]
        console.print_table(["trial", "state", "best on dev", "validations", "settings"], rows)
        if best is not None:
            console.results().print(f"\nThe best is {best.folder}. Train its settings with several seeds:\n")
            console.results().print(f"  {command}")
    if failed := [trial.folder.name for trial in trials if trial.state == "failed"]:
        problem = f"{len(failed)} of {len(trials)} trials failed: {', '.join(failed)}."
        raise VsezooError(problem, file=plan.folder, remedy="The same command tries these again.")
