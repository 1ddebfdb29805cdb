"""`vsezoo completion`: the script that makes a shell complete commands, names and settings."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from vsezoo.cli.command import Command
from vsezoo.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "vsezoo", "_VSEZOO_COMPLETE"


@click.command(
    cls=Command,
    examples=[
        ("vsezoo completion bash > ~/.local/share/bash-completion/completions/vsezoo", "Bash, in every new shell."),
        ("vsezoo completion zsh > ~/.zfunc/_vsezoo", "Zsh, if ~/.zfunc is in its fpath."),
        ("vsezoo completion fish > ~/.config/fish/completions/vsezoo.fish", "Fish."),
    ],
)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Write the completion script for SHELL; by default, for the one that $SHELL names.

    Commands and options are completed, and also models, data sets, checkpoints and the names of settings.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    maker = get_completion_class(shell) if shell in SHELLS else None
    if maker is None:
        raise UsageError("$SHELL names none of bash, zsh and fish.", remedy="Name it: vsezoo completion bash")
    click.echo(maker(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())
