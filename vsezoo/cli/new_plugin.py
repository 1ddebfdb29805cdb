"""`vsezoo new-plugin`: write the package of a plugin."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from vsezoo.cli import console
from vsezoo.scaffold.examples import DEFAULT_KINDS, EXAMPLES


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(list(EXAMPLES)),
    metavar="KIND",  # the choices would make a line wider than any terminal
    multiple=True,
    default=DEFAULT_KINDS,
    show_default=True,
    help=f"What it has a worked example of: {', '.join(EXAMPLES)}; repeatable. A model is always there.",
)
@click.option("--output", type=click.Path(path_type=Path), help="The folder to write.  [default: NAME]")
def new_plugin(name: str, kinds: tuple[str, ...], output: Path | None) -> None:
    """Write the package of a plugin NAME.

    It is complete: entry points, a worked example, a model that uses it, tests, a README. Install it, and it trains.
    """
    from vsezoo.scaffold.package import write_package  # imports Jinja2

    folder = write_package(name, kinds, output)
    console.results().print(str(folder))
    messages = console.messages()
    messages.print("Go on:")
    messages.print(f"  cd {shlex.quote(str(folder))}")
    messages.print("  python -m pip install -e '.[test]'")
    messages.print(f"  vsezoo train {name} --data shapes")
