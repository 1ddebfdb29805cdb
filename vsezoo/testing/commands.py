"""Checks of commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import click
from click.testing import CliRunner, Result

from vsezoo.testing.imports import require_light
from vsezoo.testing.kit import Kit, promise, require


@dataclass
class CommandKit(Kit):
    """The checks of commands.

    Attributes:
        arguments: of a call that only reads, without --json; None: the output is not checked.
    """

    arguments: Sequence[str] | None = None

    def _run(self, *arguments: str) -> Result:
        return CliRunner().invoke(self.subject.thing, arguments, prog_name=self.subject.name)

    @promise(
        "construction",
        "Give @click.command the registered name.",
    )
    def check_construction(self) -> None:
        """--help works, and the command has its registered name."""
        command: click.Command = self.subject.thing
        registered = command.name if self.subject.entry is None else self.subject.entry.name
        require(command.name == registered, f"named {command.name!r}, registered as {registered!r}")
        done = self._run("--help")
        require(done.exit_code == 0, f"--help exits with code {done.exit_code}: {done.exception!r}")

    @promise(
        "help",
        "Write a docstring: one sentence, an empty line, the rest.",
    )
    def check_help(self) -> None:
        """Its help begins with one sentence that says what it does, which `vsezoo --help` lists."""
        require(bool(self.subject.thing.get_short_help_str()), "no help text")

    @promise(
        "light",
        "Import heavy modules inside the function.",
        applies=lambda kit: kit.subject.module is not None,
    )
    def check_light(self) -> None:
        """Its module imports neither torch nor numpy: `vsezoo --help` imports the modules of all commands."""
        require_light(self.subject)

    @promise(
        "json",
        "Write results with vsezoo.cli.console.print_json, and everything else to standard error.",
        applies=lambda kit: kit.arguments is not None,
    )
    def check_json(self) -> None:
        """With --json it writes one JSON value to standard output and nothing else."""
        assert self.arguments is not None
        done = self._run(*self.arguments, "--json")
        said = " ".join((done.stderr or repr(done.exception)).split())
        require(done.exit_code == 0, f"exit code {done.exit_code}: {said}")
        try:
            json.loads(done.stdout)
        except ValueError as error:
            require(False, f"output that is not JSON ({error}): {done.stdout[:100]!r}")
