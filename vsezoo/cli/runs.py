"""`vsezoo runs`: the training runs in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Command
from vsezoo.cli.durations import format_duration

if TYPE_CHECKING:
    from vsezoo.sweeps.listing import RunSummary


@click.command(
    cls=Command,
    examples=[
        ("vsezoo runs", "List the runs in runs/."),
        ("vsezoo runs runs/margins", "List those of a sweep, also while it is in progress."),
    ],
)
@click.argument("folder", type=click.Path(path_type=Path), default=Path("runs"))
@shared_options.as_json
def runs(folder: Path, as_json: bool) -> None:
    """List the training runs in FOLDER with state, best score and time left.

    FOLDER is `runs` by default; folders in it are looked through. Of a single run, its curves are drawn, too.
    """
    from vsezoo.cli.curves import print_curves
    from vsezoo.sweeps.listing import list_runs

    found = list_runs(folder)
    if as_json:
        console.print_json({"runs": [run.to_json() for run in found]})
    elif found:
        print_runs(found)
        if len(found) == 1:
            print_curves(found[0].folder, console.results())
    else:
        console.messages().print(f"There is no training run in {folder}.")


def print_runs(found: Sequence[RunSummary]) -> None:
    """Write the table of runs."""
    rows = [
        [
            str(run.folder),
            run.model,
            run.state,
            f"{run.epoch}/{'?' if run.num_epochs is None else run.num_epochs}",
            "" if run.best_score is None else f"{run.best_score:.1f} ({run.criterion})",
            "" if run.rsum is None else f"{run.rsum:.1f} ({run.split})",
            "" if run.seconds_left is None else format_duration(run.seconds_left),
        ]
        for run in found
    ]
    console.print_table(["run", "model", "state", "epoch", "best on dev", "rsum", "time left"], rows)
