"""`vsezoo index`: folders with the embeddings of a collection, built once and searched often."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT, DATASET, IMAGES, TEXTS
from vsezoo.cli.command import Group, section
from vsezoo.cli.index_report import describe, info, measure, print_advice, tune
from vsezoo.cli.skipped import print_skipped
from vsezoo.errors import UsageError

if TYPE_CHECKING:
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.search.collection import Collection
    from vsezoo.search.stored.manifest import Manifest

BUILD = [
    ("vsezoo index build runs/p photos.index --images photos/", "Embed a folder of images."),
    ("vsezoo index build runs/p photos.index --images photos/ --dtype float16", "In half the space."),
    (
        "vsezoo index build runs/p photos.index --images photos/ --index ivf",
        "For faster searches.",
    ),
]
ADD = [
    ("vsezoo index add runs/p photos.index", "Add new and changed images of the same folder."),
    ("vsezoo index add runs/p features.index --images more_ims.npy", "Add the rows of another file of features."),
]
REMOVE = [
    ("vsezoo index remove photos.index 2024/dog.jpg", "Remove an image."),
    ("vsezoo index remove photos.index --gone", "Remove the images whose files are gone."),
]

folder_argument = click.argument("folder", type=click.Path(path_type=Path), metavar="INDEX")
images_option = click.option(
    "--images", type=IMAGES, metavar="X", help="A folder of images, or FILE.npy with features."
)
texts_option = click.option(
    "--texts", type=TEXTS, metavar="FILE", help="The sentences of FILE: one per line, or .csv, .tsv, .jsonl."
)


@click.group("index", cls=Group, examples=[*BUILD[:1], *ADD[:1], *REMOVE[1:]])
def index() -> None:
    """Build and change index folders, which hold the embeddings of a collection.

    A change is made whole or not at all: a command that is stopped leaves the index before, and goes on when it is run
    again. Searches may run at the same time.
    """


@index.command("build", examples=BUILD)
@click.argument("checkpoint", type=CHECKPOINT)
@folder_argument
@section(
    "Collection",
    images_option,
    texts_option,
    click.option("--data", type=DATASET, metavar="DATASET", help="The images of a data set or a folder, instead."),
    shared_options.data_root,
    shared_options.split,
    shared_options.on_bad_image("skip"),
)
@section(
    "Index",
    click.option("--index", "backend", metavar="NAME", default="exact", show_default=True, help="Search backend."),
    click.option(
        "--dtype",
        type=click.Choice(["float32", "float16"]),
        default="float32",
        show_default=True,
        help="Number type of the stored embeddings.",
    ),
    click.option(
        "--recall",
        type=click.FloatRange(0, 1, min_open=True),
        help="Share of the nearest items that a search is to find, for ivf.  [default: 0.95]",
    ),
    click.option("--queries", metavar="FILE", help="Sentences to choose it with, for ivf.  [default: items]"),
    click.option("--url", help="Address of the server, for qdrant.  [default: http://localhost:6333]"),
)
@shared_options.device
@shared_options.engine
@shared_options.as_json
def build(
    checkpoint: str,
    folder: Path,
    images: str | None,
    texts: str | None,
    data: str | None,
    data_root: Path | None,
    split: str | None,
    on_bad_image: str,
    backend: str,
    dtype: str,
    recall: float | None,
    queries: str | None,
    url: str | None,
    device: str,
    engine: str,
    as_json: bool,
) -> None:
    """Build INDEX from a collection, with the embeddings of CHECKPOINT, or replace it.

    What an existing INDEX has of unchanged items is copied, not computed.
    """
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.data.source import OpenOptions
    from vsezoo.search.sources import open_split
    from vsezoo.search.stored.building import build_folder

    opened = Checkpoint.open(checkpoint)
    chosen = {"recall": recall, "queries": queries and str(Path(queries).absolute()), "url": url}
    given = {name: value for name, value in chosen.items() if value is not None}
    if data is not None and (images or texts):
        raise UsageError("--data cannot be combined with --images or --texts.")
    source: Any = images
    if data is not None:
        options = OpenOptions(data_root, on_bad_image=on_bad_image)
        source = open_split(opened, data, split, options, console.print_warning, console.print_note)
    collection = _collect(source, texts, on_bad_image)
    how = {"index": backend, "dtype": dtype, "options": given}
    _change(opened, folder, collection, device, engine, as_json, build_folder, **how)


@index.command("add", examples=ADD)
@click.argument("checkpoint", type=CHECKPOINT)
@folder_argument
@section(
    "Collection",
    click.option(
        "--images", type=IMAGES, metavar="X", help="The same folder of images, or more features.  [default: as built]"
    ),
    click.option("--texts", type=TEXTS, metavar="FILE", help="The same sentences, or more.  [default: as built]"),
    shared_options.on_bad_image("skip"),
)
@shared_options.device
@shared_options.engine
@shared_options.as_json
def add(
    checkpoint: str,
    folder: Path,
    images: str | None,
    texts: str | None,
    on_bad_image: str,
    device: str,
    engine: str,
    as_json: bool,
) -> None:
    """Add to INDEX the items of a collection that are new or have changed.

    CHECKPOINT is the one that INDEX was built with.
    """
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.search.stored.building import add_to_folder
    from vsezoo.search.stored.manifest import read_manifest

    opened, manifest = Checkpoint.open(checkpoint), read_manifest(folder)
    if not images and not texts:
        if not manifest.place:
            raise UsageError("does not say where its items lie.", file=folder, remedy="Give --images or --texts.")
        images, texts = (None, manifest.place) if manifest.kind == "text" else (manifest.place, None)
    _change(opened, folder, _collect(images, texts, on_bad_image), device, engine, as_json, add_to_folder)


@index.command("remove", examples=REMOVE)
@folder_argument
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--gone", is_flag=True, help="Remove what is no longer in the collection that INDEX was built from.")
@shared_options.as_json
def remove(folder: Path, ids: tuple[str, ...], gone: bool, as_json: bool) -> None:
    """Remove items from INDEX."""
    from vsezoo.search.stored.building import remove_from_folder

    if not ids and not gone:
        raise UsageError("There is nothing to remove.", remedy="Give ids, or --gone.")
    _print_changed(folder, remove_from_folder(folder, ids, gone=gone), {}, as_json)


@index.command(
    "copy",
    examples=[
        ("vsezoo index copy photos.index s3://bucket/photos.index", "Publish an index; s3:// needs the package s3fs."),
        ("vsezoo index copy photos.index gs://bucket/photos.index", "The same at another provider; needs gcsfs."),
    ],
)
@folder_argument
@click.argument("address")
def copy(folder: Path, address: str) -> None:
    """Copy INDEX to object storage, at any ADDRESS that fsspec knows.

    `vsezoo search --index ADDRESS` copies it to the cache when it has changed, and searches there.
    """
    from vsezoo.search.stored.remote import send_folder

    send_folder(folder, address)


index.add_command(info)
index.add_command(measure)


def _collect(images: Any, texts: str | None, on_bad_image: str) -> Collection:
    from vsezoo.search.sources import collect_images, collect_texts

    if (images is None) == (texts is None):
        raise UsageError("Give one collection: --images, --texts or --data.")
    return collect_texts(texts) if texts is not None else collect_images(images, on_bad_image)


def _change(
    checkpoint: Checkpoint,
    folder: Path,
    collection: Collection,
    device: str,
    engine: str,
    as_json: bool,
    make: Any,
    **how: Any,
) -> None:
    """Build or extend an index, showing the progress, and print what it has become."""
    from vsezoo.cli.bars import show_progress
    from vsezoo.search.engines import choose_place, embed_with

    skipped = dict(collection.skipped)
    embed = embed_with(checkpoint, collection, choose_place(device, engine), engine, skipped)
    with show_progress("Embedding") as advance:
        manifest = make(checkpoint, folder, collection, advance=advance, embed=embed, **how)
    if manifest.options.get("queries") and manifest.state.get("queries") == "items":
        manifest = tune(checkpoint, folder, manifest.options.get("recall"), manifest.options["queries"], device)
    print_skipped(skipped)
    _print_changed(folder, manifest, skipped, as_json)


def _print_changed(folder: Path, manifest: Manifest, skipped: dict[str, str], as_json: bool) -> None:
    if as_json:
        console.print_json({**describe(folder, manifest), "skipped": skipped})
        return
    print_advice(manifest)
    items = "sentences" if manifest.kind == "text" else "images"
    console.results().print(f"{folder}: {manifest.alive:,} {items}")
