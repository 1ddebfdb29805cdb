"""What a person is told of images that were left out."""

from __future__ import annotations

from collections.abc import Mapping

from rich.padding import Padding

from vsezoo.cli import console

NAMED = 5
"""Images that the message names."""


def print_skipped(skipped: Mapping[str, str]) -> None:
    """Say on standard error how many images were left out, which, and why; nothing where there is none.

    Args:
        skipped: the reasons by the ids.
    """
    if not skipped:
        return
    count = f"{len(skipped):,} picture{'s are' if len(skipped) > 1 else ' is'} left out"
    lines = [f"{console.escape(name)}: {reason}" for name, reason in list(skipped.items())[:NAMED]]
    more = [f"and {len(skipped) - NAMED:,} more"] if len(skipped) > NAMED else []
    console.print_warning(f"{count}:")
    console.messages().print(Padding("\n".join([*lines, *more]), (0, 0, 0, 2), style="yellow", expand=False))
