"""`vsezoo push`: upload a checkpoint to the Hub."""

from __future__ import annotations

import click
from rich.filesize import decimal

from vsezoo.cli import console, shared_options
from vsezoo.cli.arguments import CHECKPOINT
from vsezoo.cli.command import Command


@click.command(
    "push",
    cls=Command,
    examples=[
        ("vsezoo push runs/vsepp-shapes hub:org/vsepp-shapes --dry-run", "List what would be uploaded."),
        ("vsezoo push runs/vsepp-shapes hub:org/vsepp-shapes --private", "Upload it to a private repository."),
    ],
)
@click.argument("run", type=CHECKPOINT)
@click.argument("repository", metavar="hub:ORG/NAME")
@click.option("--private", is_flag=True, help="Create a private repository.")
@click.option("--revision", metavar="BRANCH", help="Branch to commit to, created if needed.  [default: main]")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing to the branch.")
@click.option("--message", help="Commit message.  [default: model, data set and rsum]")
@click.option("--with-state", is_flag=True, help="Also upload the training state, for --resume.")
@click.option("--dry-run", is_flag=True, help="List what would be uploaded, and upload nothing.")
@shared_options.as_json
def push(
    run: str,
    repository: str,
    private: bool,
    revision: str | None,
    create_pr: bool,
    message: str | None,
    with_state: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Upload the checkpoint RUN to the Hugging Face Hub (one commit, changed files only).

    The repository is created if it does not exist. Its card is updated: facts are replaced, text written by people is
    kept.
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
        console.print_table(["would be uploaded", ""], rows)
        return
    for name, size in result.sent.items():
        console.messages().print(f"Uploaded {name} ({decimal(size)})")
    if not result.sent:
        console.messages().print("Nothing has changed since the last commit; nothing was uploaded.")
    console.results().print(result.url)
