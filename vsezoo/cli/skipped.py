"""What a person is told of images that were left out."""

from __future__ import annotations

from collections.abc import Mapping

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
    lines = [f"  {name}: {reason}" for name, reason in list(skipped.items())[:NAMED]]
    more = [f"  and {len(skipped) - NAMED:,} more"] if len(skipped) > NAMED else []
    console.messages().print("\n".join([f"Warning: {count}:", *lines, *more]), style="yellow")
