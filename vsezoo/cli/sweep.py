"""`vsezoo sweep`: training runs by a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Command
from vsezoo.errors import UsageError, VsezooError

if TYPE_CHECKING:
    from vsezoo.sweeps.plan import Plan


@click.command(
    cls=Command,
    examples=[
        ("vsezoo sweep vsepp --seeds 3", "Train vsepp with the seeds 1, 2 and 3 on shapes."),
        ("vsezoo sweep vsepp --seeds 3 --set loss.margin=0.1,0.2", "Two margins with three seeds each: six runs."),
        (
            "vsezoo sweep vsepp --trials 20 --set loss.margin=0.05..0.5",
            "Search: 20 trials, each with a margin chosen from the trials before.",
        ),
        ("vsezoo sweep plan.toml --jobs 2", "The runs of a plan, two at a time."),
        ("vsezoo sweep plan.toml --dry-run", "List the runs only."),
    ],
)
@click.argument("plan", metavar="PLAN|MODEL")
@shared_options.data("shapes")
@shared_options.data_root
@click.option(
    "--output", type=click.Path(path_type=Path), help="Folder of the runs.  [default: runs/MODEL-DATASET-sweep]"
)
@click.option("--seeds", metavar="NUMBER|LIST", help="Number of seeds, starting with 1, or a list such as 1,5,7.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE[,VALUE...]",
    help="Settings of the recipe: each combination of the values is a run; repeatable.",
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    help="Search with so many runs; --set also takes LOW..HIGH, or `log LOW..HIGH`.",
)
@click.option("--no-prune", is_flag=True, help="Search: also finish trials that look hopeless.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Runs at a time.")
@shared_options.full_dev
@shared_options.use_restval
@shared_options.device
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Data loader workers of a run.")
@click.option("--dry-run", is_flag=True, help="List the runs and their settings, and train nothing.")
@shared_options.as_json
def sweep(
    plan: str,
    data: str | None,
    data_root: Path | None,
    output: Path | None,
    seeds: str | None,
    assignments: tuple[str, ...],
    trials: int | None,
    no_prune: bool,
    jobs: int,
    full_dev: bool,
    use_restval: bool,
    device: str,
    workers: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train the runs of PLAN, a TOML file, or of MODEL with the settings of the flags.

    Each run has a folder. The same command continues an interrupted sweep: finished runs are not repeated. At the end,
    one table compares the models on the test split. With --trials, settings are searched for by the dev split instead.
    """
    changes = {"data": data, "data_root": None if data_root is None else str(data_root), "output": output}
    opening = {name: True for name, given in (("full_dev", full_dev), ("use_restval", use_restval)) if given}
    planned = _make_plan(plan, changes, seeds, assignments, opening, trials, not no_prune)
    if dry_run:
        _print_plan(planned, as_json)
        return
    from vsezoo.sweeps.running import SweepOptions

    if planned.search is not None:
        from vsezoo.cli.search_settings import search_settings

        search_settings(planned, SweepOptions(device, workers, jobs), as_json=as_json)
        return
    from vsezoo.cli.runs import print_runs
    from vsezoo.sweeps.listing import summarize
    from vsezoo.sweeps.sweep import find_predictions
    from vsezoo.sweeps.sweep import sweep as do_sweep

    outcomes = do_sweep(planned, SweepOptions(device, workers, jobs), report=console.print_note)
    found = [summarize(outcome.folder) for outcome in outcomes]
    if not as_json:
        print_runs(found)
    files, comparison = find_predictions(outcomes), None
    if files:
        from vsezoo.cli.compare import print_comparison
        from vsezoo.comparison.compare import compare
        from vsezoo.comparison.grouping import read_groups
        from vsezoo.comparison.tables import to_markdown
        from vsezoo.storage.atomic_file import write_whole

        comparison = compare(read_groups(files, "seeds"))
        write_whole(planned.folder / "table.md", to_markdown(comparison).encode(errors="backslashreplace"))
        if not as_json:
            click.echo()
            print_comparison(comparison)
    if as_json:
        value = None if comparison is None else comparison.to_json()
        console.print_json({"runs": [run.to_json() for run in found], "comparison": value})
    if failed := [outcome.run.name for outcome in outcomes if outcome.problem]:
        problem = f"{len(failed)} of {len(outcomes)} runs failed: {', '.join(failed)}."
        raise VsezooError(problem, file=planned.folder, remedy="The same command tries these again.")


def _make_plan(
    text: str,
    changes: dict[str, Any],
    seeds: str | None,
    assignments: tuple[str, ...],
    opening: dict[str, bool],
    trials: int | None,
    prune: bool,
) -> Plan:
    """Return the plan of a file or of flags; flags change what the file says."""
    from dataclasses import replace

    from vsezoo.sweeps.plan import Plan, read_plan, read_seeds, split_values
    from vsezoo.sweeps.space import Search, is_range, read_choice

    plan = read_plan(Path(text)) if Path(text).suffix == ".toml" else Plan(text)
    grid, settings = dict(plan.grid), dict(plan.settings)
    space = {} if plan.search is None else dict(plan.search.space)
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator or not name:
            problem = f"--set takes NAME=VALUE[,VALUE...], not {assignment!r}."
            raise UsageError(problem, remedy="Example: --set loss.margin=0.1,0.2")
        values = split_values(value)
        for known in (grid, settings, space):
            known.pop(name, None)
        if is_range(value):
            space[name] = read_choice(name, value)
        elif len(values) == 1:
            settings[name] = values[0]
        else:
            grid[name] = values
    if seeds is not None:
        try:
            numbers = [int(part) for part in seeds.split(",")]
        except ValueError:
            numbers = []
        changes["seeds"] = read_seeds(numbers[0] if len(numbers) == 1 else numbers or seeds)
    given = {name: value for name, value in changes.items() if value is not None}
    if trials or plan.search:
        count = trials or (plan.search.trials if plan.search else 0)
        seed, prunes = (plan.search.seed, plan.search.prune) if plan.search else (0, True)
        given["search"] = Search(count, {**space, **grid}, prune and prunes, seed)
        grid = {}
    elif space:
        problem = f"--set {next(iter(space))} names a range, from which only a search chooses."
        raise UsageError(problem, remedy="Say how many runs it may try, such as --trials 20, or list the values.")
    return replace(plan, grid=grid, settings=settings, opening={**plan.opening, **opening}, **given)


def _print_plan(plan: Plan, as_json: bool) -> None:
    import json

    if plan.search is not None:
        problem = "A search decides what to run as it goes."
        raise UsageError(problem, remedy="Leave --dry-run out, or --trials.")
    runs = plan.list_runs()
    if as_json:
        console.print_json(
            {"runs": [{"folder": str(plan.folder / run.name), "settings": run.settings} for run in runs]}
        )
        return
    rows = [
        [str(plan.folder / run.name), " ".join(f"{name}={json.dumps(value)}" for name, value in run.settings.items())]
        for run in runs
    ]
    console.print_table(["run", "settings"], rows)
