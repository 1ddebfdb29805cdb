"""Where the command line writes: results to standard output, progress, hints and errors to standard error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

PIPE_WIDTH = 10_000
"""Columns where there is no terminal: enough that no line is ever cut or broken."""


def results() -> Console:
    """Return the console of standard output."""
    return _make(sys.stdout)


def messages() -> Console:
    """Return the console of standard error."""
    return _make(sys.stderr)


def print_json(value: Any) -> None:
    """Write a value to standard output as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], title: str = "") -> None:
    """Write a table to standard output; what does not fit in its column goes on in the next line.

    Args:
        columns: the headings.
        rows: one cell for each column.
        title: printed above the table.
    """
    table = Table(*columns, box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in table.columns:
        column.overflow = "fold"  # the default cuts long words and puts an ellipsis
    for row in rows:
        table.add_row(*row)
    console = results()
    if title:
        console.print(title, style="bold")
    console.print(table)


def print_fields(title: str, fields: Iterable[tuple[str, str | Text]]) -> None:
    """Write a title and, indented below it, named values."""
    grid = Table.grid(Column(style="dim"), Column(overflow="fold"), padding=(0, 2), pad_edge=True)
    for name, value in fields:
        grid.add_row(name, value)
    console = results()
    console.print(title, style="bold")
    console.print(grid)


def mark_problems(item: Mapping[str, Any], text: str) -> Text:
    """Return what a listing says of a registered item: its text, or why its name cannot be used.

    Args:
        item: with the keys `failed`, the reason or None, and `conflict`.
        text: what the listing says where all is well.
    """
    marked = Text(text)
    if item["failed"] is not None:
        marked = Text(f"FAILED: {item['failed']}", "red")
    if item["conflict"]:
        marked = Text("CONFLICT: another distribution registers this name. ", "red").append(marked)
    return marked


def _make(stream: IO[str]) -> Console:
    # Rich takes 80 columns for a pipe; `COLUMNS` decides where it is set, as for a terminal.
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, highlight=False, emoji=False)
