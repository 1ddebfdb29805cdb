"""`vsezoo card`: write the model card of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import click

from vsezoo.cli import console, shared_options


@click.command("card")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--license", metavar="ID", help="Name a licence, by the Hub's identifier such as cc-by-nc-4.0.")
@shared_options.as_json
def card(run: Path, license: str | None, as_json: bool) -> None:
    """Write the model card of the checkpoint RUN: README.md, and what belongs to it.

    Where there is a card already, the facts in it are renewed and the words of people stay. The curves of the training
    are drawn if matplotlib is installed.
    """
    from vsezoo.publishing.publication import (  # imports torch and the Hub's client
        build_card,
        open_checkpoint,
        write_card,
    )

    checkpoint = open_checkpoint(run)
    made = build_card(checkpoint, license=license)
    written = write_card(checkpoint, made)
    for sentence in made.missing:
        console.messages().print(f"Missing in the card: {sentence}")
    if as_json:
        console.print_json({"written": [str(path) for path in written], "missing": list(made.missing)})
        return
    for path in written:
        console.results().print(str(path))
