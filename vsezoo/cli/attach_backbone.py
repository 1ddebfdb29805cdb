"""`vsezoo attach-backbone`: a checkpoint of features becomes one that takes pictures."""

from __future__ import annotations

from pathlib import Path

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command


@click.command(
    "attach-backbone",
    cls=Command,
    examples=[
        ("vsezoo attach-backbone runs/features --output runs/pictures", "With the library's pretrained weights."),
        (
            "vsezoo attach-backbone runs/vgg --weights vgg.safetensors --output runs/new",
            "With the file of weights that the features were extracted with.",
        ),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the new checkpoint.")
@click.option("--weights", type=click.Path(path_type=Path), help="Its weights.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output.")
@shared_options.as_json
def attach_backbone(checkpoint: str, output: Path, weights: Path | None, overwrite: bool, as_json: bool) -> None:
    """Put the backbone in front of CHECKPOINT, a model of features that `vsezoo features` has extracted.

    The new checkpoint takes pictures: `vsezoo search` finds any picture with it. Nothing is trained.
    """
    from vsezoo.training.attachment import attach_backbone as attach

    made = attach(checkpoint, output, weights=weights, overwrite=overwrite)
    if as_json:
        console.print_json({"checkpoint": str(made)})
    else:
        console.messages().print(f'Checkpoint: {made}\nTry it: vsezoo search {made} "two dogs" --images PHOTOS')
