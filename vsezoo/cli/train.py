"""`vsezoo train`: train a model and evaluate its best checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vsezoo import registry
from vsezoo.cli import console, setting_flags, shared_options
from vsezoo.cli.arguments import MODEL, SETTING, UNCHECKED_DATASET
from vsezoo.cli.command import FIRST, Command, section
from vsezoo.data.lookup import require_data
from vsezoo.recipe.file import is_recipe_file


@click.command(
    cls=Command,
    examples=[
        ("vsezoo train vsepp", "Train on the built-in data set shapes; write runs/vsepp-shapes."),
        (
            "vsezoo train vsepp --data f8k_precomp --data-root features",
            "Train on the features in features/f8k_precomp.",
        ),
        ("vsezoo train vsepp --set loss.margin=0.1 --output runs/margin", "Change a setting and name the run."),
        ("vsezoo train my.json", "Train a recipe of your own: vsezoo show vsepp --json > my.json, then edit it."),
        ("vsezoo train vsepp --resume", "Continue the run in runs/vsepp-shapes where it stopped."),
    ],
)
@click.argument("model", type=MODEL)
@shared_options.data("shapes", UNCHECKED_DATASET)
@shared_options.data_root
@click.option("--output", type=click.Path(path_type=Path), help="Folder of the run.  [default: runs/MODEL-DATASET]")
@click.option("--resume", is_flag=True, help="Continue the run in the output folder.")
@click.option("--init", metavar="CHECKPOINT", help="Start from the weights and the vocabulary of a checkpoint.")
@section(FIRST, *(flag.declare() for flag in setting_flags.FIRST))
@shared_options.device
@click.option(
    "--set",
    "assignments",
    type=SETTING,
    multiple=True,
    metavar="NAME=VALUE",
    help=f"Change any setting of the recipe, such as {setting_flags.ASSIGNMENT}; repeatable.",
)
@section("Model settings", *(flag.declare() for flag in setting_flags.MODEL))
@section("Loss settings", *(flag.declare() for flag in setting_flags.LOSS))
@section("Training settings", *(flag.declare() for flag in setting_flags.TRAINING))
@section("Data", shared_options.full_dev, shared_options.use_restval, shared_options.on_bad_image("error"))
@section(
    "Run",
    click.option("--overrides/--no-overrides", default=True, help="Apply the recipe's changes for this data set."),
    click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Data loader workers."),
    click.option("--save-step", type=click.IntRange(0), default=200, show_default=True, help="Steps between saves."),
    shared_options.as_json,
)
def train(
    model: str,
    data: str | None,
    data_root: Path | None,
    output: Path | None,
    resume: bool,
    init: str | None,
    overrides: bool,
    device: str,
    workers: int,
    save_step: int,
    full_dev: bool,
    use_restval: bool,
    on_bad_image: str,
    as_json: bool,
    assignments: tuple[str, ...],
    **flags: Any,
) -> None:
    """Train MODEL, keep its best checkpoint, and evaluate it on the test split.

    The run's folder holds best/ (the checkpoint), last/ (the state for --resume), log.jsonl and tensorboard/.

    MODEL is a registered model, or a recipe file as `vsezoo show MODEL --json` writes it.

    `vsezoo show MODEL` lists all settings of a recipe with their values. The flags below have the names used in
    the field; --set changes any setting by its name.
    """
    settings = setting_flags.read_settings(flags, assignments)
    if not resume and not is_recipe_file(model):  # a misspelt name or setting is answered before torch is imported
        registry.load("models", model).replace(settings)
    if data is not None and not resume:
        require_data(data)
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.cli.curves import print_curves
    from vsezoo.cli.figures import render
    from vsezoo.cli.progress import TrainingProgress
    from vsezoo.data.source import OpenOptions
    from vsezoo.training.plan import RunOptions
    from vsezoo.training.runtime import read_rank
    from vsezoo.training.train import start_run

    opening = OpenOptions(data_root, full_dev, use_restval, on_bad_image)
    options = RunOptions(output, resume, init, device, workers, save_step, opening)
    progress = TrainingProgress()
    try:
        result = start_run(model, data, settings, options, overrides=overrides, callbacks=[progress])
    finally:
        progress.close()
    if read_rank() > 0:
        return  # with several processes, only the first one reports
    if as_json:
        account = Checkpoint.open(result.checkpoint).config["data"].get("account")
        console.print_json({**result.evaluation.to_json(), **({"account": account} if account else {})})
    else:
        print_curves(result.checkpoint.parent, console.messages())
        console.results().print(render(result.evaluation))
    console.messages().print(f"Checkpoint: {result.checkpoint}")
