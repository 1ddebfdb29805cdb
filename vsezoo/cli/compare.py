"""`vsezoo compare`: models side by side, from per-query results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.command import Command
from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.comparison.compare import Comparison


@click.command(
    cls=Command,
    examples=[
        ("vsezoo compare old.jsonl new.jsonl", "Compare two files of `vsezoo eval --predictions`."),
        ("vsezoo compare ours=a.jsonl ours=b.jsonl theirs=c.jsonl", "Name models; equal names are seeds of a model."),
        ("vsezoo compare runs/sweep/*/ --group seeds --latex", "Runs that differ in their seeds alone are one model."),
        ("vsezoo compare a.jsonl b.jsonl --html page.html --images flickr8k/images", "Look at what differs."),
    ],
)
@click.argument("results", nargs=-1, required=True, metavar="[NAME=]PREDICTIONS...")
@click.option("--group", type=click.Choice(["seeds"]), help="Group runs that differ only in training.seed.")
@click.option("--markdown", "form", flag_value="markdown", help="Write a Markdown table.")
@click.option("--csv", "form", flag_value="csv", help="Write CSV: a line for each model and figure, not rounded.")
@click.option("--latex", "form", flag_value="latex", help="Write a LaTeX table for booktabs.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a page with the queries.")
@click.option("--images", type=click.Path(path_type=Path, file_okay=False), help="Pictures for --html.")
@click.option("--queries", type=click.IntRange(0), default=0, help="Number of listed queries that gain and lose most.")
@click.option("--resamples", type=click.IntRange(100), default=10_000, show_default=True, help="Random resamples.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the resamples.")
@click.option("--anyway", is_flag=True, help="Also put results of different evaluations into the table, marked.")
@shared_options.as_json
def compare(
    results: tuple[str, ...],
    group: str | None,
    form: str | None,
    html: Path | None,
    images: Path | None,
    queries: int,
    resamples: int,
    seed: int,
    anyway: bool,
    as_json: bool,
) -> None:
    """Compare models with the first one: recalls, spread, intervals, and a paired test.

    PREDICTIONS is a file that `vsezoo eval --predictions` wrote, or a folder with a predictions.jsonl in it, such
    as a run of `vsezoo sweep`.
    """
    if as_json and form:
        raise UsageError(f"--json and --{form} are two forms of one output.", remedy="Leave one of them out.")
    from vsezoo.comparison import tables
    from vsezoo.comparison.compare import compare as compare_groups
    from vsezoo.comparison.grouping import read_groups

    comparison = compare_groups(read_groups(results, group), resamples=resamples, seed=seed, anyway=anyway)
    write = {"markdown": tables.to_markdown, "csv": tables.to_csv, "latex": tables.to_latex}
    if as_json:
        console.print_json(comparison.to_json())
    elif form:
        click.echo(console.escape_lines(write[form](comparison)), nl=False)
    else:
        print_comparison(comparison)
    if queries and not as_json:
        _print_queries(comparison, queries)
    if html is not None:
        from vsezoo.comparison.page import write_page

        write_page(html, comparison, most=queries or 10, images=images)


def print_comparison(comparison: Comparison) -> None:
    """Write the table of a comparison."""
    from vsezoo.comparison import tables

    about, (headings, rows) = comparison.evaluation, tables.tabulate(comparison)
    if not console.has_room(headings, rows):  # a column for each model: names are longer than figures, and fewer
        headings, *rows = map(list, zip(headings, *rows, strict=True))
    console.print_table(headings, rows, title=f"{about['data']}, {about['split']} split")
    for line in tables.explain(comparison):
        console.results().print(line, style="dim")


def _print_queries(comparison: Comparison, most: int) -> None:
    from vsezoo.comparison.queries import describe, find_differences

    first = comparison.rows[0]
    for row in (row for row in comparison.rows[1:] if row.p is not None):
        found = find_differences(first.group, row.group, most)
        for title, queries in (("Gains", found.better), ("Loses", found.worse)):
            cells = [[f"{item.first:.3g}", f"{item.second:.3g}", describe(item.query)] for item in queries]
            click.echo()
            console.print_table([f"rank, {first.name}", row.name, "query"], cells, title=f"{title} most by {row.name}")
