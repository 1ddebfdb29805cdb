"""`vsezoo caption`: write captions of images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command
from vsezoo.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from vsezoo.captioning.loss import CaptionLoss
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.inputs import PairDataset

BATCH_SIZE = 64


@click.command(
    cls=Command,
    examples=[
        ("vsezoo caption runs/vsrn-shapes 0 1 2", "Caption the first three images of the test split."),
        ("vsezoo caption runs/vsrn regions.npy --rows 0-4 --beam 3", "Caption five rows of a feature file."),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@shared_options.data("as in training")
@shared_options.data_root
@shared_options.split
@click.option("--rows", default="", metavar="ROWS", help="Rows of FILE.npy, such as 0-4,7.  [default: all]")
@click.option("--beam", type=click.IntRange(1), default=1, show_default=True, help="Beam size.")
@click.option("--max-len", type=click.IntRange(1), help="Longest caption in words.  [default: as in training]")
@click.option("--unknown", is_flag=True, help="Let <unk> be written, as VSRN's own code does.")
@shared_options.device
@shared_options.as_json
def caption(
    checkpoint: str,
    images: tuple[str, ...],
    data: str | None,
    data_root: Path | None,
    split: str | None,
    rows: str,
    beam: int,
    max_len: int | None,
    unknown: bool,
    device: str,
    as_json: bool,
) -> None:
    """Write a caption for each IMAGE with the caption head of CHECKPOINT.

    IMAGE is an image of the data set's split by its index or id; FILE.npy, a feature file, or FILE.npy:17, one row of
    it; or an image file, if the model takes image files. The log p of a caption is the natural logarithm of its
    probability.
    """
    from vsezoo.captioning.search import write_captions
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.cli.bars import show_progress
    from vsezoo.data.kinds import name_source
    from vsezoo.data.lookup import open_data
    from vsezoo.data.source import OpenOptions
    from vsezoo.devices import choose_device
    from vsezoo.parts import accepted_kinds
    from vsezoo.search.queries import batch_images, find_images
    from vsezoo.search.sources import find_default_split

    chosen, opened = choose_device(device), Checkpoint.open(checkpoint)
    model, loss = opened.model(chosen), _load_head(opened, chosen)
    kinds = accepted_kinds(model.recipe)

    def open_split() -> PairDataset:
        wanted = split or find_default_split(opened, data)
        return open_data(data or opened.training_data(), wanted, kinds, OpenOptions(data_root))

    named = find_images(images, kinds, open_split, rows)
    written = []
    with show_progress("Writing captions") as advance:
        for batch in batch_images(named, BATCH_SIZE):
            with name_source(batch[0].source):
                features = batch[0].read([image.row for image in batch])
                written += write_captions(model, loss, features, beam=beam, max_len=max_len or 0, unknown=unknown)
            advance(len(written), len(named))
    results = list(zip([image.name for image in named], written, strict=True))
    if as_json:
        captions = [
            {"image": name, "caption": found.text, "log_probability": found.log_probability} for name, found in results
        ]
        console.print_json({"checkpoint": checkpoint, "model": model.recipe.name, "beam": beam, "captions": captions})
    else:
        lines = [(name, found.text, f"{found.log_probability:.2f}") for name, found in results]
        console.print_table(["image", "caption", "log p"], lines)


def _load_head(checkpoint: Checkpoint, device: torch.device) -> CaptionLoss:
    from vsezoo.captioning.loss import CaptionLoss

    config, loss = checkpoint.config, checkpoint.loss(device) if checkpoint.has_loss else None
    if not isinstance(loss, CaptionLoss):
        problem = f"has no caption head; its loss is {config['recipe']['loss']['name']!r}."
        if "converted" in config:
            problem = f"has no caption head: the format {config['converted'].get('format')!r} stores only the encoders."
        raise CheckpointError(
            problem,
            file=checkpoint.reference,
            remedy="Train one with the loss `caption` and an image encoder that returns regions, for example: "
            "vsezoo train vsrn --data DATASET",
        )
    return loss
