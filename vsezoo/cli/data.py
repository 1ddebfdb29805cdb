"""`vsezoo data`: inspect data sets. `vsezoo data check` is the data doctor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.padding import Padding

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import DATASET
from vsezoo.cli.command import Group
from vsezoo.cli.data_convert import convert
from vsezoo.cli.data_split import split

if TYPE_CHECKING:
    from vsezoo.data.doctor.report import Finding, Range, Report, SplitFigures

STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


EXAMPLES = [
    ("vsezoo data check f8k_precomp --data-root features", "Check all splits of a registered data set."),
    ("vsezoo data check photos/ --split train", "Check one split of a folder."),
    ("vsezoo data check photos/ --html check.html", "Write a page with the pictures of the findings."),
]


@click.group("data", cls=Group, examples=EXAMPLES)
def data() -> None:
    """Check, split and convert data sets."""


data.add_command(split)
data.add_command(convert)


@data.command("check", examples=EXAMPLES)
@click.argument("dataset", type=DATASET)
@shared_options.data_root
@click.option("--split", "splits", multiple=True, help="Check only this split; repeatable.  [default: all]")
@click.option("--pictures", is_flag=True, help="Also check the images of a folder that has features.")
@click.option(
    "--vocab-threshold",
    type=click.IntRange(min=1),
    default=4,
    show_default=True,
    help="Minimum occurrences of a word in the vocabulary.",
)
@click.option("--html", type=click.Path(path_type=Path), metavar="FILE", help="Also write a self-contained page.")
@shared_options.as_json
def check(
    dataset: str,
    data_root: Path | None,
    splits: tuple[str, ...],
    pictures: bool,
    vocab_threshold: int,
    html: Path | None,
    as_json: bool,
) -> None:
    """Find what is wrong with DATASET, a registered name or a folder.

    Reads every image and every caption. An error makes training fail, and the exit code is 1; a warning makes a model
    or its figures worse; a note is worth knowing.
    """
    from vsezoo.cli.bars import make_bar
    from vsezoo.data.doctor.check import check_data

    with make_bar(console.messages()) as bar:
        task = bar.add_task("", total=None, note="")
        report = check_data(
            dataset,
            root=data_root,
            splits=splits,
            pictures=pictures,
            vocab_threshold=vocab_threshold,
            advance=lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
        )
    if html is not None:
        from vsezoo.data.doctor.page import write_page

        write_page(html, report)
    if as_json:
        console.print_json(report.to_json())
    else:
        _print(report)
    if report.fails:
        click.get_current_context().exit(1)


def _print(report: Report) -> None:
    rows = [[name, *_describe(figures)] for name, figures in report.splits.items()]
    console.print_table(["split", "images", "captions", "form", "norm", "words"], rows, title=report.data)
    out = console.results()
    if summary := report.account.get("summary"):
        out.print(f"\n{summary}")
    if report.vocabulary is not None:
        known = ", ".join(f"{n} {f.known_words:.1%}" for n, f in report.splits.items() if f.known_words is not None)
        often = f"{report.vocab_threshold} times or more" if report.vocab_threshold > 1 else "at all"
        known = f" Running words known from train: {known}." if known else ""
        kept = f"the special ones and those that occur {often} in train and dev"
        out.print(f"\nVocabulary: {report.vocabulary:,} words, {kept}.{known}")
    for finding in report.findings:
        out.print()
        _print_finding(finding)
    out.print(f"\n{report.verdict}", style="bold")


def _print_finding(finding: Finding) -> None:
    out = console.results()
    place = f"{finding.split}: " if finding.split else ""
    what = console.style_text(f" {place}{finding.what}")
    out.print(console.style_text(finding.level, STYLES[finding.level]).append(what))
    more = [f"… and {finding.count - len(finding.at):,} more"] if finding.count > len(finding.at) > 0 else []
    for line in [*([finding.file] if finding.file else []), *finding.at, *more]:
        out.print(Padding(console.style_text(console.escape(line), "dim"), (0, 0, 0, 4), expand=False))
    if finding.remedy:
        out.print(Padding(finding.remedy, (0, 0, 0, 2), expand=False))


def _describe(figures: SplitFigures) -> list[str]:
    """Return the cells of a split, `-` for unknown figures."""
    captions = "-" if figures.captions is None else f"{figures.captions:,}"
    if figures.captions_per_image:
        captions += f" ({_show(figures.captions_per_image, '.1f')} each)"
    shape = " x ".join(map(str, figures.image_shape or ()))
    sizes = list(figures.sizes or ())
    size = f"{', '.join(sizes[:2])}{', …' * (len(sizes) > 2)}"
    modes = ", ".join(f"{mode} {count:,}" for mode, count in (figures.modes or {}).items())
    return [
        "-" if figures.images is None else f"{figures.images:,}",
        captions,
        " ".join(filter(None, [figures.kind or "-", shape or size, modes])),
        _show(figures.norms, ".3g"),
        _show(figures.words, ".1f"),
    ]


def _show(figures: Range | None, form: str) -> str:
    """Return the mean and the range, or a single value if all are equal at the precision shown."""
    if figures is None:
        return "-"
    least, mean, most = (format(figure, form) for figure in (figures.min, figures.mean, figures.max))
    if least == most:
        return format(figures.mean, "g") if figures.min == figures.max else mean
    return f"{mean} ({figures.min:.3g} to {figures.max:.3g})"
