"""The warning about skipped images."""

from __future__ import annotations

from collections.abc import Mapping

from rich.padding import Padding

from vsezoo.cli import console

NAMED = 5
"""Most images that the message names."""


def print_skipped(skipped: Mapping[str, str]) -> None:
    """Print on standard error how many images were skipped, which, and why; nothing if there are none.

    Args:
        skipped: the reasons by image id.
    """
    if not skipped:
        return
    count = f"{len(skipped):,} image{'s were' if len(skipped) > 1 else ' was'} skipped"
    lines = [f"{console.escape(name)}: {reason}" for name, reason in list(skipped.items())[:NAMED]]
    more = [f"and {len(skipped) - NAMED:,} more"] if len(skipped) > NAMED else []
    console.print_warning(f"{count}:")
    console.alerts().print(Padding("\n".join([*lines, *more]), (0, 0, 0, 2), style="yellow", expand=False))
