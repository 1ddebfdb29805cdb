"""`vsezoo push`: put a checkpoint on the Hub."""

from __future__ import annotations

from pathlib import Path

import click
from rich.filesize import decimal

from vsezoo.cli import console, shared_options


@click.command("push")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("repository", metavar="hub:ORG/NAME")
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@click.option("--revision", metavar="BRANCH", help="Write to this branch, created if absent.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of writing to the branch.")
@click.option("--message", help="Of the commit.  [default: the model, the data and the rsum]")
@click.option("--with-state", is_flag=True, help="Send the training state, too, to resume from.")
@click.option("--dry-run", is_flag=True, help="Say what would be sent, and send nothing.")
@shared_options.as_json
def push(
    run: Path,
    repository: str,
    private: bool,
    revision: str | None,
    create_pr: bool,
    message: str | None,
    with_state: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put the checkpoint RUN on the Hub, in one commit with what has changed.

    The repository is created if it is absent. Its card is renewed where it states facts; what people have written in
    it stays.
    """
    from vsezoo.publishing.push import push as send  # imports torch and the Hub's client

    result = send(
        run,
        repository,
        private=private,
        revision=revision,
        create_pr=create_pr,
        message=message,
        with_state=with_state,
        dry_run=dry_run,
    )
    for sentence in result.missing:
        console.messages().print(f"Missing in the card: {sentence}")
    if as_json:
        console.print_json(result.to_json())
        return
    if dry_run:
        rows = [(name, decimal(size)) for name, size in result.sent.items()]
        rows += [(name, "unchanged") for name in result.unchanged]
        console.print_table(["would be sent", ""], rows)
        return
    for name, size in result.sent.items():
        console.messages().print(f"Sent {name} ({decimal(size)})")
    if not result.sent:
        console.messages().print("Nothing has changed since the last commit; nothing was sent.")
    console.results().print(result.url)
