"""`vsezoo new-plugin`: write the package of a plugin."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from vsezoo.cli import console
from vsezoo.cli.command import Command
from vsezoo.scaffold.examples import DEFAULT_KINDS, EXAMPLES


@click.command(
    "new-plugin",
    cls=Command,
    examples=[
        ("vsezoo new-plugin example-zoo", "Write a package with an image encoder and a model that uses it."),
        ("vsezoo new-plugin example-zoo --kind loss --kind command", "Write one with a loss and a command."),
    ],
)
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(list(EXAMPLES)),
    metavar="KIND",  # listing the choices here would make the line too wide
    multiple=True,
    default=DEFAULT_KINDS,
    show_default=True,
    help=f"Worked example to include: {', '.join(EXAMPLES)}; repeatable. A model is always included.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Output folder.  [default: NAME]")
def new_plugin(name: str, kinds: tuple[str, ...], output: Path | None) -> None:
    """Write the package of a new plugin called NAME.

    The package is complete: entry points, a worked example, a model that uses it, tests, a README. Install it and train
    its model without editing a line.
    """
    from vsezoo.scaffold.package import write_package  # imports Jinja2

    folder = write_package(name, kinds, output)
    console.results().print(str(folder))
    messages = console.messages()
    messages.print("Next:")
    messages.print(f"  cd {shlex.quote(str(folder))}")
    messages.print("  python -m pip install -e '.[test]'")
    messages.print(f"  vsezoo train {name} --data shapes")
