"""`vsezoo serve`: a service and a page that search a collection of images."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT, IMAGES
from vsezoo.cli.command import Command, section
from vsezoo.cli.late_bar import show_late
from vsezoo.cli.search_many import TOKEN
from vsezoo.cli.skipped import print_skipped
from vsezoo.errors import UsageError, require_package
from vsezoo.storage.plain_file import explain_unread

RATE = 20.0


@click.command(
    cls=Command,
    examples=[
        ("vsezoo serve runs/pictures --images photos/", "Search a folder of images in a browser."),
        ("vsezoo serve runs/pictures --index photos.index", "Serve an index folder."),
        ("vsezoo serve runs/pictures --images photos/ --host 0.0.0.0", "Let others in, with a token that is printed."),
    ],
)
@click.argument("checkpoint", type=CHECKPOINT)
@click.option("--images", type=IMAGES, metavar="X", help="A folder of images, or FILE.npy with features.")
@shared_options.data("as in training")
@shared_options.data_root
@shared_options.split
@click.option("--index", metavar="NAME", default="exact", show_default=True, help="Search backend, or an index folder.")
@section(
    "Network",
    click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0: all."),
    click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free port."),
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help=f"Token that requests must send.  [default: ${TOKEN}; a random one if --host is not a loopback address]",
    ),
    click.option(
        "--rate", type=click.FloatRange(0), help="Searches a second of one client.  [default: 20; loopback: any]"
    ),
    click.option("--upload-limit", type=click.FloatRange(0.01), default=20, show_default=True, help="Megabytes."),
    click.option("--timeout", type=click.FloatRange(0.1), default=30, show_default=True, help="Seconds for a request."),
)
@shared_options.on_bad_image("skip")
@shared_options.device
def serve(
    checkpoint: str,
    images: str | None,
    data: str | None,
    data_root: Path | None,
    split: str | None,
    index: str,
    host: str,
    port: int,
    token_file: Path | None,
    rate: float | None,
    upload_limit: float,
    timeout: float,
    on_bad_image: str,
    device: str,
) -> None:
    """Serve a page and an HTTP interface that search images with CHECKPOINT.

    Without --images and an index folder, the images of the data set's split are searched. The page needs no other
    server. Only this machine can reach it, unless --host says otherwise; then requests need a token. Ctrl-C stops it.
    """
    for package in ("fastapi", "python_multipart", "uvicorn"):
        require_package(package, "vsezoo serve")
    from vsezoo.checkpoints.opened import Checkpoint
    from vsezoo.data.source import OpenOptions
    from vsezoo.devices import choose_device
    from vsezoo.search.index import index_collection
    from vsezoo.search.sources import collect_images, open_split
    from vsezoo.search.stored.manifest import is_index, require_known
    from vsezoo.serving.app import create_app
    from vsezoo.serving.engine import Engine
    from vsezoo.serving.guard import Limits
    from vsezoo.serving.server import bind, is_loopback, make_server, name_address, run

    require_known(index)
    is_local = is_loopback(host)
    token = read_token(token_file) or ("" if is_local else secrets.token_urlsafe(24))
    limits = Limits(rate if rate is not None else 0.0 if is_local else RATE, round(upload_limit * 1e6), timeout)
    with bind(host, port) as bound:  # before the model is loaded, which takes longer
        chosen, opened = choose_device(device), Checkpoint.open(checkpoint)
        collection = None
        if images is not None or data is not None or not is_index(index):
            options = OpenOptions(data_root, on_bad_image=on_bad_image)
            collection = collect_images(
                images or open_split(opened, data, split, options, console.print_warning, console.print_note),
                on_bad_image,
            )
        with show_late("Embedding") as advance:
            found = index_collection(opened, chosen, collection, index, advance, console.print_warning)
        print_skipped(found.skipped)
        engine = Engine(found, opened, chosen)
        engine.warm_up()

        def announce() -> None:
            address = name_address(bound)
            what = f"{len(found):,} images of {found.collection.title}, searched with {opened.recipe.name}"
            console.print_note(f"{what}. Ctrl-C stops it.")
            click.echo(f"{address}#token={token}" if token else address)

        try:
            run(make_server(create_app(engine, token, limits)), bound, announce)
        except KeyboardInterrupt:  # the way to end it
            console.print_note("Stopped.")


def read_token(file: Path | None) -> str:
    """Return the token of a file, else of the environment; empty if neither has one.

    Raises:
        UsageError: for a file that cannot be read, or that is empty.
    """
    if file is None:
        return os.environ.get(TOKEN, "").strip()
    remedy = "Write one line of letters and digits into it."
    try:
        with explain_unread(file, UsageError):
            token = file.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError as error:
        raise UsageError(f"is not UTF-8 text: {error}.", file=file, remedy=remedy) from None
    if not token:
        raise UsageError("contains no token.", file=file, remedy=remedy)
    return token
