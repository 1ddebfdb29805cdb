"""Where the command line writes: results to standard output, progress, hints and errors to standard error.

File names, captions and the like are untrusted: control characters are escaped before they reach the terminal.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import IO, Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from vsezoo.cli.command import QUIET
from vsezoo.cli.output import find_output

PIPE_WIDTH = 10_000
"""Columns if the output is not a terminal: enough that no line is cut or wrapped."""
GAP = 2
"""Spaces between the columns of a table."""

CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""Control characters, line separators, and marks that change the direction of text."""


def escape(text: str) -> str:
    r"""Return a text as one line, with control characters escaped as in Python: `\x1b`, `\n`."""
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def escape_lines(text: str) -> str:
    """Return a text of several lines, with all control characters but line feeds escaped."""
    return "\n".join(map(escape, text.split("\n")))


def style_text(text: str, style: str = "") -> Text:
    """Return a text of several lines in a style, escaped; the consoles escape plain strings themselves."""
    return Text(escape_lines(text), style)


def results() -> Console:
    """Return the console of standard output."""
    return _make(sys.stdout)


def messages() -> Console:
    """Return the console of standard error, for progress and hints; with `--quiet`, it writes nothing."""
    return _make(sys.stderr, quiet=is_quiet())


def alerts() -> Console:
    """Return the console of standard error, for what is said even with `--quiet`, such as warnings."""
    return _make(sys.stderr)


def is_quiet() -> bool:
    """Return whether the command that runs was given `--quiet`."""
    context = click.get_current_context(silent=True)
    return context is not None and context.meta.get(QUIET, False)


def print_json(value: Any) -> None:
    """Write a value to standard output as JSON."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False)
    # JSON escapes only those below U+0020; the ones left below it are line feeds between the values.
    text = CONTROLS.sub(lambda found: found[0] if found[0] == "\n" else f"\\u{ord(found[0]):04x}", text)
    click.echo(text, file=find_output())


def print_warning(text: str) -> None:
    """Write a warning to standard error."""
    alerts().print(f"Warning: {text}", style="yellow")


def print_note(text: str) -> None:
    """Write something worth knowing to standard error; an empty text is nothing."""
    if text:
        messages().print(text, style="dim")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], title: str = "") -> None:
    """Write a table to standard output; in a terminal, long cells are wrapped, not cut.

    Args:
        columns: the headings.
        rows: one cell for each column.
        title: heading printed above the table.
    """
    if title:
        results().print(title, style="bold")
    if not _is_drawn(sys.stdout):
        _write_aligned([[Text(column) for column in columns], *rows])
        return
    from rich.table import Table  # takes longer to import than to write a table without it

    rows = list(rows)
    table = Table(*columns, box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in table.columns:
        column.overflow = "fold"  # the default cuts long words
    if rows and columns:  # what one copies, a name or a path, stays whole if there is room
        table.columns[0].min_width = min(max(cell_len(str(row[0])) for row in rows), results().width // 2)
    for row in rows:
        table.add_row(*map(_escape_cell, row))
    results().print(table)


def has_room(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bool:
    """Return whether a table fits on standard output without wrapped cells; always if that is not a terminal."""
    if not _is_drawn(sys.stdout):
        return True
    widths = [max(map(cell_len, column)) + GAP for column in zip(columns, *rows, strict=True)]
    return sum(widths) - GAP <= results().width


def print_fields(title: str, fields: Iterable[Sequence[str | Text]]) -> None:
    """Write a title and, indented below it, names with values, each with a note or without."""
    results().print(title, style="bold")
    if not _is_drawn(sys.stdout):
        _write_aligned(fields, indent=GAP)
        return
    from rich.table import Column, Table

    columns = (Column(style="dim", no_wrap=True), Column(overflow="fold"), Column(overflow="fold", style="dim"))
    grid = Table.grid(*columns, padding=(0, GAP), pad_edge=True)
    for field in fields:
        grid.add_row(*map(_escape_cell, field))
    results().print(grid)


def mark_problems(item: Mapping[str, Any], text: str) -> Text:
    """Return the text of a registered item in a listing, or why its name cannot be used.

    Args:
        item: with the keys `failed`, the reason or None, and `conflict`.
        text: shown if nothing is wrong.
    """
    marked = style_text(text)
    if item["failed"] is not None:
        marked = style_text(f"FAILED: {item['failed']}", "red")
    if item["conflict"]:
        marked = Text("CONFLICT: another distribution registers this name. ", "red").append(marked)
    return marked


class _EscapingConsole(Console):
    """A console that escapes every plain string, also inside tables and progress bars."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a plain string as text to draw, escaped."""
        return super().render_str(escape_lines(text), **options)


def _escape_cell(cell: str | Text) -> str | Text:
    return escape(cell) if isinstance(cell, str) else cell


def _is_drawn(stream: IO[str]) -> bool:
    """Whether tables are drawn for a width and with styles; a pipe or a file gets plain lines."""
    return stream.isatty() or "COLUMNS" in os.environ or "FORCE_COLOR" in os.environ


def _write_aligned(rows: Iterable[Sequence[str | Text]], indent: int = 0) -> None:
    """Write rows with aligned columns, without spaces at the end of a line."""
    lines = [line for row in rows for line in zip_longest(*map(_split_cell, row), fillvalue="")]
    widths = [max(map(cell_len, column)) for column in zip_longest(*lines, fillvalue="")]
    for line in lines:
        padded = (cell + " " * (width + GAP - cell_len(cell)) for cell, width in zip(line, widths, strict=False))
        click.echo((" " * indent + "".join(padded)).rstrip(" "))


def _split_cell(cell: str | Text) -> list[str]:
    return cell.plain.split("\n") if isinstance(cell, Text) else [escape(cell)]


def _make(stream: IO[str], quiet: bool = False) -> Console:
    # Rich assumes 80 columns for a pipe. `COLUMNS` overrides the width, as for a terminal.
    width = None if stream.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
    return _EscapingConsole(file=stream, width=width, quiet=quiet, markup=False, highlight=False, emoji=False)
