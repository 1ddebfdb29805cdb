"""`vsezoo eval`: evaluate a checkpoint or an ensemble."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command
from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.evaluation.registered import ProtocolEvaluation
    from vsezoo.evaluation.report import Evaluation


@click.command(
    "eval",
    cls=Command,
    examples=[
        ("vsezoo eval runs/vsepp-shapes", "Evaluate the best checkpoint of a run on the test split of its data set."),
        ("vsezoo eval runs/coco --fold5", "COCO: report the mean over five folds of 1,000 images."),
        ("vsezoo eval runs/seed0 runs/seed1 --ensemble", "Evaluate two models as an ensemble."),
        ("vsezoo eval runs/vsepp --predictions vsepp.jsonl", "Write the ranks and the first ten of each query."),
        ("vsezoo eval runs/vsepp --html vsepp.html", "Write a page with curves, and the best and worst queries."),
        ("vsezoo eval runs/scan --scores scan.npy", "Keep all scores; if interrupted, the same command continues."),
    ],
)
@click.argument("checkpoints", nargs=-1, type=CHECKPOINT, required=True, metavar="CHECKPOINT...")
@shared_options.data("as in training")
@shared_options.data_root
@click.option("--split", help="dev, test, testall, …  [default: test; testall for --fold5]")
@click.option("--fold5", is_flag=True, help="COCO 1K: five folds of 1,000 images, averaged.")
@click.option(
    "--protocol",
    metavar="NAME",
    help="full, fold5, or a registered one: eccv, cxc, choices, flickr8k-expert, flickr8k-cf.  [default: full]",
)
@click.option(
    "--protocol-files",
    "--judgements",
    "protocol_files",
    type=click.Path(path_type=Path),
    help="File or folder of the registered protocol's own files.  [default: .]",
)
@click.option("--ensemble", is_flag=True, help="Average the similarities of several checkpoints.")
@click.option(
    "--ties",
    type=click.Choice(["lower_index", "pessimistic", "expected"]),
    metavar="[lower_index|pessimistic|expected]",  # click would write a hyphen
    default="lower_index",
    show_default=True,
    help="Rank of an item among others with exactly the same score.",
)
@shared_options.full_dev
@shared_options.on_bad_image("error")
@shared_options.device
@click.option(
    "--scores",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep the scores of all pairs in this .npy file; the same command continues an interrupted evaluation.",
)
@click.option(
    "--predictions",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the result of each query to this file: .jsonl, .parquet or .trec (a TREC run with qrels).",
)
@click.option("--top", type=click.IntRange(0), default=10, show_default=True, help="Candidates in --predictions.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write a report, one page.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False),
    help="Pictures for --html if the data have none; their names are the ids of the images.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Also write the figures to this JSON file."
)
@shared_options.as_json
def evaluate(
    checkpoints: tuple[str, ...],
    data: str | None,
    data_root: Path | None,
    split: str | None,
    fold5: bool,
    protocol: str | None,
    protocol_files: Path | None,
    ensemble: bool,
    ties: str,
    full_dev: bool,
    on_bad_image: str,
    device: str,
    scores: Path | None,
    predictions: Path | None,
    top: int,
    html: Path | None,
    images: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Evaluate CHECKPOINT: R@K, MedR and MeanR in both directions.

    Several checkpoints are evaluated one after another, or together with --ensemble.
    """
    if fold5 and protocol not in (None, "fold5"):
        raise UsageError(f"--fold5 and --protocol {protocol} are two protocols.", remedy="Leave one of them out.")
    protocol = "fold5" if fold5 else protocol or "full"
    if ensemble and len(checkpoints) < 2:
        raise UsageError("--ensemble needs at least two checkpoints.")
    for flag, file in (("--scores", scores), ("--predictions", predictions), ("--html", html)):
        if file is not None and len(checkpoints) > 1 and not ensemble:
            problem = f"{flag} names one file, and there are several checkpoints."
            raise UsageError(problem, remedy="Evaluate one at a time.")
    groups = [checkpoints] if ensemble else [(reference,) for reference in checkpoints]
    if protocol not in ("full", "fold5"):
        if predictions is not None or scores is not None or html is not None:
            problem = f"--predictions, --scores and --html are not for {protocol}, which has no such queries."
            raise UsageError(problem, remedy="Leave them out.")
        _evaluate_registered(groups, protocol, protocol_files, data, split, data_root, device, output, as_json)
        return
    from vsezoo.cli.bars import show_phases
    from vsezoo.cli.figures import render
    from vsezoo.devices import choose_device
    from vsezoo.evaluation.evaluate import evaluate as measure
    from vsezoo.reports.examination import Examination

    chosen = choose_device(device)
    examination = None if html is None else Examination(ties, images)
    evaluations = []
    for references in groups:
        names = ", ".join(references)
        try:
            with show_phases(f"Encoding for {names}", f"Scoring for {names}") as (advance, advance_scores):
                evaluation = measure(
                    references,
                    data,
                    split=split,
                    data_root=data_root,
                    protocol=protocol,
                    ties=ties,
                    full_dev=full_dev,
                    on_bad_image=on_bad_image,
                    device=chosen,
                    advance=advance,
                    advance_scores=advance_scores,
                    keep_scores=scores,
                    predictions=predictions,
                    top=top,
                    examine=None if examination is None else examination.begin,
                    warn=console.print_warning,
                    note=console.print_note,
                )
        except KeyboardInterrupt:
            if scores is None:
                raise
            place = console.escape(str(scores))
            raise KeyboardInterrupt(f"Scores are kept in {place}; the same command continues.") from None
        evaluations.append(evaluation)

    def show() -> None:
        for number, evaluation in enumerate(evaluations):
            if len(evaluations) > 1:
                console.results().print("\n" * (number > 0) + evaluation.checkpoints[0]["reference"], style="bold")
            console.results().print(render(evaluation))

    _write(evaluations, show, output, as_json)
    if html is not None and examination is not None:
        from vsezoo.checkpoints.opened import Checkpoint
        from vsezoo.reports.page import write_report
        from vsezoo.training.history import read_history

        alone = len(checkpoints) == 1
        run = Checkpoint.open(checkpoints[0], weights=False).folder.parent if alone else None
        write_report(html, evaluations[0], examination, None if run is None else read_history(run))


def _evaluate_registered(
    groups: Sequence[Sequence[str]],
    protocol: str,
    protocol_files: Path | None,
    data: str | None,
    split: str | None,
    data_root: Path | None,
    device: str,
    output: Path | None,
    as_json: bool,
) -> None:
    """Evaluate each group of checkpoints by a registered protocol, and print or write the figures."""
    from vsezoo.devices import choose_device
    from vsezoo.evaluation.registered import evaluate_protocol

    evaluations = [
        evaluate_protocol(
            references,
            protocol,
            protocol_files or Path(),
            data,
            split=split,
            data_root=data_root,
            device=choose_device(device),
            note=console.print_note,
        )
        for references in groups
    ]

    def show() -> None:
        rows = [
            [" + ".join(group), *(f"{figure:,.1f}".removesuffix(".0") for figure in evaluation.figures.values())]
            for group, evaluation in zip(groups, evaluations, strict=True)
        ]
        title = f"{protocol}: images of {evaluations[0].data}, {evaluations[0].split} split"
        console.print_table(["model", *evaluations[0].figures], rows, title=title)

    _write(evaluations, show, output, as_json)


def _write(
    evaluations: Sequence[Evaluation | ProtocolEvaluation], show: Callable[[], None], output: Path | None, as_json: bool
) -> None:
    """Print the figures, and then write them to the output file, so that they are printed even if it cannot be."""
    from vsezoo.storage.atomic_file import write_whole
    from vsezoo.storage.checkpoint_layout import to_text

    values = [evaluation.to_json() for evaluation in evaluations]
    value = values[0] if len(values) == 1 else {"evaluations": values}
    if as_json:
        console.print_json(value)
    else:
        show()
    if output is not None:
        write_whole(output, to_text(value))
