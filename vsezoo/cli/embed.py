"""`vsezoo embed`: write the joint embeddings of images and sentences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from vsezoo.cli import console, shards, shared_options
from vsezoo.cli.arguments import CHECKPOINT, DATASET, IMAGES, TEXTS
from vsezoo.cli.command import Command
from vsezoo.cli.skipped import print_skipped
from vsezoo.errors import UsageError, pluralise


@click.command(
    cls=Command,
    examples=[
        ("vsezoo embed runs/vsepp-shapes --data shapes --output shapes.safetensors", "Embed a test split."),
        ("vsezoo embed runs/pictures --images photos/ --output photos.npy", "Embed a folder of images."),
        ("vsezoo embed runs/pictures --texts queries.txt --output queries.npy", "Embed the lines of a file."),
        ('vsezoo embed runs/pictures dog.jpg "two dogs" --output two.safetensors', "Embed a picture and a sentence."),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.argument("items", metavar="[ITEM]...", nargs=-1)
@click.option("--images", type=IMAGES, metavar="X", help="A folder of images, or FILE.npy with features.")
@click.option("--texts", type=TEXTS, metavar="FILE", help="A file with a sentence per line, or .csv, .tsv, .jsonl.")
@click.option("--data", type=DATASET, metavar="DATASET", help="Images and captions of a data set or a folder, instead.")
@shared_options.data_root
@shared_options.split
@click.option(
    "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="Ends in .safetensors or .npy."
)
@shared_options.on_bad_image("skip")
@shared_options.device
@shared_options.engine
@shards.option
@shared_options.as_json
def embed(
    checkpoint: str,
    items: tuple[str, ...],
    images: str | None,
    texts: str | None,
    data: str | None,
    data_root: Path | None,
    split: str | None,
    output: Path,
    on_bad_image: str,
    device: str,
    engine: str,
    shard: str | None,
    as_json: bool,
) -> None:
    """Write the joint embeddings of images, sentences, or both, computed by CHECKPOINT.

    Each ITEM is an image file or a sentence in quotes; or --images, --texts or --data name more of them.

    A .safetensors file holds the float32 tensors `images` and `texts`, one row per item; a .npy file holds one of them.
    The ids of the rows are written to a .json file next to it.
    """
    if data is not None and (images or texts):
        raise UsageError(
            "--data cannot be combined with --images or --texts.", remedy="Use either --data or the others."
        )
    if items and (data or images or texts):
        raise UsageError(
            f"{items[0]!r} cannot be combined with --data, --images or --texts.", remedy="Embed them separately."
        )
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.cli.bars import show_progress
    from vsezoo.data.source import OpenOptions
    from vsezoo.inputs import PairDataset
    from vsezoo.search.engines import RAY
    from vsezoo.search.export import embed as export
    from vsezoo.search.sources import open_split

    share = shards.read_shard(shard)
    chosen = device if engine == RAY else shards.choose_device(device)
    opened = Checkpoint.open(checkpoint)
    split_data: PairDataset | None = None
    pictures, sentences = _sort(items)
    if data is not None:
        options = OpenOptions(data_root, on_bad_image=on_bad_image)
        split_data = open_split(opened, data, split, options, console.print_warning, console.print_note)
    with show_progress("Embedding") as advance:
        written = export(
            opened,
            images=split_data or images or pictures or None,
            texts=split_data or texts or sentences or None,
            output=output,
            device=chosen,
            engine=engine,
            shard=share,
            on_bad_image=on_bad_image,
            advance=advance,
            warn=console.print_warning,
        )
    print_skipped(written.skipped)
    if as_json:
        files = {"embeddings": str(written.file), "ids": str(written.list_file)}
        account = {"account": dict(split_data.account)} if split_data is not None else {}
        missing = {"missing": written.missing} if share.count > 1 else {}
        console.print_json(
            {"checkpoint": checkpoint, **files, "counts": written.counts, "skipped": written.skipped, **account}
            | missing
        )
    elif written.missing:
        console.results().print(f"{written.file}: other shards have still to embed {written.missing:,} items")
    else:
        counts = " and ".join(pluralise(count, name.removesuffix("s")) for name, count in written.counts.items())
        console.results().print(f"{written.file}: embeddings of {counts}; their ids are in {written.list_file}")


def _sort(items: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return those of the items that are image files, and those that are sentences.

    Raises:
        UsageError: for what has an option of its own, or an empty sentence.
    """
    from vsezoo.search.queries import is_file_reference, is_picture_name
    from vsezoo.search.sentence_file import TABLES

    pictures: list[str] = []
    sentences: list[str] = []
    for item in items:
        if not item.strip():
            raise UsageError("The sentence is empty.", remedy="Describe something, in quotes.")
        is_file, ending = is_file_reference(item), Path(item).suffix.lower()
        features, listed = ".npy" in item and is_file, ending in (".txt", *TABLES) and is_file
        if features or listed or os.path.isdir(item):  # noqa: PTH112  # `Path` raises for a long sentence
            option = "--texts" if listed else "--images"
            raise UsageError(f"{item!r} is neither a picture nor a sentence.", remedy=f"Try {option} {item}")
        is_picture = is_picture_name(item) or (is_file and ending)  # a file may be named as a sentence is: `dog`
        (pictures if is_picture else sentences).append(item)
    return pictures, sentences
