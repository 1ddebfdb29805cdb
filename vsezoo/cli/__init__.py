"""The command line: one file for each command, found through the entry-point group `vsezoo.commands`.

Only the module of the command that runs is imported; `--help` imports those of all commands, so a command imports
torch and the like inside its functions.
"""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import click

from vsezoo import registry
from vsezoo.cli import console
from vsezoo.cli.command import Group
from vsezoo.errors import INTERRUPTED, PluginError, UsageError, VsezooError, VsezooWarning, describe_system
from vsezoo.registry.audit.api import PluginWarning
from vsezoo.registry.owners import note_owner

EXTRA = "unexpected extra argument"  # what click says of a sentence without quotes
_FORMAT = warnings.formatwarning


class Commands(Group):
    """A group whose commands come from the registry, each imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the registered names."""
        return registry.list_names("commands")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, or None for a name that is not registered."""
        try:
            entry = registry.find("commands", cmd_name)
        except VsezooError:
            return None
        command: click.Command = entry.load()
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; raise the registry's error for a name that it does not have.

        An empty argument usually comes from an unset variable; as a path it would mean the current folder.
        """
        if any(argument == "" or re.fullmatch("--[^=]+=", argument) for argument in args):
            raise UsageError("An argument is empty.", remedy="Give it a value; a shell variable may not be set.")
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand:
            registry.find("commands", args[0])
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, including those that cannot be loaded."""
        rows = []
        for name in self.list_commands(ctx):
            try:
                command = registry.load("commands", name)
            except PluginError as error:
                rows.append((name, f"FAILED: {registry.explain(error)}"))
                continue
            if not command.hidden:
                rows.append((name, command.get_short_help_str(limit=1000)))  # the whole first sentence
        with formatter.section("Commands"):
            formatter.write_dl(rows or [("(none)", "The installation of vsezoo is damaged: reinstall it.")])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # not at exit: a full disk or a closed pipe must still become an error message
        except KeyboardInterrupt as interrupt:  # a command may have added how to continue
            click.echo(console.escape_lines("\n".join(["Interrupted.", *map(str, interrupt.args)])), err=True)
            ctx.exit(INTERRUPTED)
        except click.exceptions.NoArgsIsHelpError:  # its message is our own help text
            raise
        except click.exceptions.NoSuchOption as error:
            raise click.UsageError(console.escape_lines(_advise_setting(error)), error.ctx) from None
        except click.UsageError as error:
            message = _advise_quotes(error).replace("\n\t", "\n  ")  # click's lists of choices
            raise click.UsageError(console.escape_lines(message), error.ctx) from None
        return result

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line; turn a user's mistake into one message and an exit code."""
        warnings.formatwarning = _format_warning
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # as `>&-` leaves it
                setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (to the very end)
        if isinstance(sys.stdout, io.TextIOWrapper):
            # for letters that the terminal lacks and names that are not UTF-8
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return super().main(*args, **extra)
        except VsezooError as error:
            message, code = _describe(error), error.exit_code
        except OSError as error:
            if error.errno is None:  # not of the system, but a fault of whatever raised it
                note_owner(error)
                raise
            message, code = _describe(describe_system(error)), 1
            _finish_output()
        except Exception as error:
            note_owner(error)
            raise
        finally:
            warnings.formatwarning = _FORMAT
        kind = "Interrupted" if code == INTERRUPTED else "Error"  # what the user did is not an error
        click.echo(f"{kind}: {console.escape_lines(message)}", err=True)
        sys.exit(code)


def _advise_setting(error: click.exceptions.NoSuchOption) -> str:
    """Return the message; with the setting that a flag of `vsezoo train` stands for, if the command has `--set`."""
    from vsezoo.cli.setting_flags import SETTING_FLAGS

    message = error.format_message()
    options = error.ctx.command.params if error.ctx else []
    if not any("--set" in option.opts for option in options):
        return message
    named = next((flag for flag in SETTING_FLAGS if error.option_name in flag.flags.split("/")), None)
    return f"{message} Here it is a setting: --set {named.settings[0]}=VALUE" if named else message


def _advise_quotes(error: click.UsageError) -> str:
    """Return the message; for an argument too many with what it may have been meant for."""
    message = error.format_message()
    if EXTRA not in message:
        return message
    options = error.ctx.command.params if error.ctx else []
    data = " Data are named by --data." if any("--data" in option.opts for option in options) else ""
    return f"{message}.{data} Put an argument that has spaces in quotes."


def _describe(error: VsezooError) -> str:
    """Return the text of an error, with the name of its file escaped to one line."""
    file = error.file or ""
    return str(error).replace(file, console.escape(file))


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning as Python writes it, but without the place in the code if it is meant for users."""
    if issubclass(category, PluginWarning | VsezooWarning):
        return f"Warning: {console.escape_lines(str(message))}\n"
    return console.escape_lines(_FORMAT(message, category, filename, lineno, line))


def _finish_output() -> None:
    """Write the rest of the buffer, or drop it: Python would fail on it again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _leave_plugins_out(ctx: click.Context, option: click.Parameter, given: bool) -> None:
    if given:
        os.environ["VSEZOO_PLUGINS"] = "none"  # also for the processes that this one starts


@click.group(
    "vsezoo",
    cls=Commands,
    examples=[
        ("vsezoo train vsepp", "Train VSE++ on the built-in data set shapes."),
        ("vsezoo eval runs/vsepp-shapes", "Evaluate its best checkpoint."),
        ("vsezoo train --help", "Show the options of a command, with examples."),
    ],
    context_settings={
        "max_content_width": 120,  # click's own limit is 80 columns, however wide the terminal
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),  # accept --max_violation, the spelling of VSE++
    },
)
@click.version_option(package_name="vsezoo", message="%(prog)s %(version)s")
@click.option(
    "--no-plugins",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_leave_plugins_out,
    help="Ignore third-party plugins (same as VSEZOO_PLUGINS=none).",
)
def main() -> None:
    """Visual-semantic embeddings: images and sentences in one space."""
