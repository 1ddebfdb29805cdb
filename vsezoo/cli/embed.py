"""`vsezoo embed`: write the joint embeddings of images and sentences."""

from __future__ import annotations

from pathlib import Path

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command
from vsezoo.cli.skipped import print_skipped
from vsezoo.errors import UsageError


@click.command(
    cls=Command,
    examples=[
        ("vsezoo embed runs/vsepp-shapes --data shapes --output shapes.safetensors", "Embed a test split."),
        ("vsezoo embed runs/pictures --images photos/ --output photos.npy", "Embed a folder of images."),
        ("vsezoo embed runs/pictures --texts queries.txt --output queries.npy", "Embed the lines of a file."),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.option("--images", metavar="X", help="A folder of images, or FILE.npy with features.")
@click.option("--texts", metavar="FILE", help="A file with a sentence per line, or .csv, .tsv, .jsonl.")
@click.option("--data", metavar="DATASET", help="Images and captions of a data set or a folder, instead.")
@shared_options.data_root
@shared_options.split
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Ends in .safetensors or .npy."
)
@shared_options.on_bad_image("skip")
@shared_options.device
@shared_options.engine
@shared_options.as_json
def embed(
    checkpoint: str,
    images: str | None,
    texts: str | None,
    data: str | None,
    data_root: Path | None,
    split: str | None,
    output: Path,
    on_bad_image: str,
    device: str,
    engine: str,
    as_json: bool,
) -> None:
    """Write the joint embeddings of images, sentences, or both, computed by CHECKPOINT.

    A .safetensors file holds the float32 tensors `images` and `texts`, one row per item; a .npy file holds one of them.
    The ids of the rows are written to a .json file next to it.
    """
    if data is not None and (images or texts):
        raise UsageError(
            "--data cannot be combined with --images or --texts.", remedy="Use either --data or the others."
        )
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.cli.bars import show_encoding
    from vsezoo.data.source import OpenOptions
    from vsezoo.inputs import PairDataset
    from vsezoo.search.engines import choose_place
    from vsezoo.search.export import embed as export
    from vsezoo.search.sources import open_split

    chosen = choose_place(device, engine)
    opened = Checkpoint.open(checkpoint)
    split_data: PairDataset | None = None
    if data is not None:
        options = OpenOptions(data_root, on_bad_image=on_bad_image)
        split_data = open_split(opened, data, split, options, console.print_warning, console.print_note)
    with show_encoding("Embedding") as advance:
        written = export(
            opened,
            images=split_data or images,
            texts=split_data or texts,
            output=output,
            device=chosen,
            engine=engine,
            on_bad_image=on_bad_image,
            advance=advance,
            warn=console.print_warning,
        )
    print_skipped(written.skipped)
    if as_json:
        files = {"embeddings": str(written.file), "ids": str(written.list_file)}
        account = {"account": dict(split_data.account)} if split_data is not None else {}
        console.print_json(
            {"checkpoint": checkpoint, **files, "counts": written.counts, "skipped": written.skipped, **account}
        )
    else:
        counts = " and ".join(f"{count:,} {name}" for name, count in written.counts.items())
        console.results().print(f"{written.file}: embeddings of {counts}; their ids are in {written.list_file}")
