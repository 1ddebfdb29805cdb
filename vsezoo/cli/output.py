"""Standard output while a command writes JSON: reserved for it, whatever plugins and C libraries print."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from typing import IO

import click

RESERVED = "vsezoo.output"
"""Where click's context has the stream of standard output while nothing else may write to it."""


class JSONOption(click.Option):
    """An option with which a `Command` writes JSON: standard output is then reserved for `find_output`."""


def find_output() -> IO[str]:
    """Return the stream for the results of the command that runs."""
    context = click.get_current_context(silent=True)
    reserved: IO[str] | None = None if context is None else context.meta.get(RESERVED)
    return reserved or sys.stdout


@contextmanager
def reserve_output(context: click.Context) -> Iterator[None]:
    """Send what is printed, also to the descriptor 1, to standard error; `find_output` still returns the output."""
    output = sys.stdout
    output.flush()
    with redirect_stdout(sys.stderr):
        try:
            place, errors = output.fileno(), sys.stderr.fileno()
            number = os.dup(place)
        except (OSError, ValueError):  # not a file, as in a notebook
            context.meta[RESERVED] = output
            yield
            return
        reserved = open(number, "w", encoding=output.encoding, errors=output.errors)  # noqa: PTH123, SIM115
        context.meta[RESERVED] = reserved
        os.dup2(errors, place)
        try:
            yield
            reserved.flush()  # a full disk or a closed pipe must still become an error message
        finally:
            output.flush()
            os.dup2(number, place)
            context.meta.pop(RESERVED)
            with suppress(OSError):  # raised above
                reserved.close()
