"""The warning about skipped images."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from rich.padding import Padding

from vsezoo.cli import console

NAMED = 8
"""Most reasons that the message gives."""
SYSTEM = "in a hidden or system folder"


def print_skipped(skipped: Mapping[str, str]) -> None:
    """Print on standard error how many images were skipped, which, and why; nothing if there are none.

    Of all that are skipped for one reason, the first is named. Folders of the system, which may hold thousands of
    thumbnails, come last.

    Args:
        skipped: the reasons by image id.
    """
    if not skipped:
        return
    groups: dict[str, list[str]] = defaultdict(list)
    for name, reason in skipped.items():
        groups[re.sub(r" \([^()]*\)$", "", reason)].append(name)
    shown = sorted(groups.items(), key=lambda group: group[0].startswith(SYSTEM))[:NAMED]
    lines = [
        f"{console.escape(names[0])}: {skipped[names[0]]}" + (f" (and {len(names) - 1:,} more)" if names[1:] else "")
        for _, names in shown
    ]
    others = len(skipped) - sum(len(names) for _, names in shown)
    more = [f"and {others:,} more"] if others else []
    count = f"{len(skipped):,} image{'s were' if len(skipped) > 1 else ' was'} skipped"
    console.print_warning(f"{count}:")
    console.alerts().print(Padding("\n".join([*lines, *more]), (0, 0, 0, 2), style="yellow", expand=False))
