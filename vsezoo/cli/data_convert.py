"""`vsezoo data convert`: write a data set of pictures in another form."""

from __future__ import annotations

from pathlib import Path

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import UNCHECKED_DATASET
from vsezoo.cli.command import Command

FORMS = ("folder", "webdataset", "parquet", "karpathy")


@click.command(
    "convert",
    cls=Command,
    examples=[
        ("vsezoo data convert photos/ shards/ --to webdataset", "Write WebDataset shards."),
        ("vsezoo data convert flickr8k f8k/ --to parquet --split test", "Write one split as the Hub stores data sets."),
    ],
)
@click.argument("source", type=UNCHECKED_DATASET)
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--to", required=True, type=click.Choice(FORMS), help="Form of the output.")
@shared_options.data_root
@click.option("--split", "splits", multiple=True, help="Write only this split; repeatable.  [default: all]")
@click.option(
    "--shard-size", type=click.IntRange(1), default=1000, show_default=True, help="Images in a shard or Parquet file."
)
@shared_options.on_bad_image("error")
@click.option("--resume", is_flag=True, help="Continue in an output folder that is not complete.")
@shared_options.as_json
def convert(
    source: str,
    output: Path,
    to: str,
    data_root: Path | None,
    splits: tuple[str, ...],
    shard_size: int,
    on_bad_image: str,
    resume: bool,
    as_json: bool,
) -> None:
    """Write the pictures and captions of SOURCE, a registered name or a folder, to the folder OUTPUT in another form.

    Ids, captions, splits and the bytes of pictures are kept. What a form cannot hold is reported.
    """
    from vsezoo.cli.bars import show_progress
    from vsezoo.data.pictures.writing.convert import convert_data

    with show_progress("pictures") as advance:
        try:
            made = convert_data(
                source,
                output,
                to,
                root=data_root,
                splits=splits,
                shard_size=shard_size,
                on_bad_image=on_bad_image,
                resume=resume,
                advance=advance,
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"{output} is not complete. Continue with --resume.") from None
    for sentence in made.changes:
        console.print_warning(sentence)
    if as_json:
        console.print_json(made.to_json())
        return
    counts = ", ".join(f"{name} {images:,} images, {texts:,} captions" for name, (images, texts) in made.splits.items())
    console.results().print(f"{output} ({to}): {counts}")
