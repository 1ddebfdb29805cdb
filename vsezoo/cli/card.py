"""`vsezoo card`: write the model card of a checkpoint."""

from __future__ import annotations

import click

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command


@click.command(
    "card",
    cls=Command,
    examples=[
        ("vsezoo card runs/vsepp-shapes", "Write or update the card of the run's best checkpoint."),
        ("vsezoo card runs/vsepp-shapes --license cc-by-nc-4.0", "State the licence of the weights."),
    ],
)
@click.argument("run", type=CHECKPOINT)
@click.option("--license", metavar="ID", help="Licence, by the Hub's identifier, such as cc-by-nc-4.0.")
@shared_options.as_json
def card(run: str, license: str | None, as_json: bool) -> None:
    """Write the model card of the checkpoint RUN: README.md and its figures.

    An existing card is updated: facts are replaced, text written by people is kept. Training curves are drawn if
    matplotlib is installed: python -m pip install 'vsezoo[plot]'.
    """
    from vsezoo.publishing.publication import (  # imports torch and the Hub's client
        build_card,
        open_publication,
        write_card,
    )

    publication = open_publication(run)
    made = build_card(publication, license=license)
    written = write_card(publication.checkpoint.folder, made)
    for sentence in made.missing:
        console.messages().print(f"Missing in the card: {sentence}")
    if as_json:
        console.print_json({"written": [str(path) for path in written], "missing": list(made.missing)})
        return
    for path in written:
        console.results().print(str(path))
