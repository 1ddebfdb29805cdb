"""The curves of a training run, each in a line of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from rich.console import Console

LEVELS = "▁▂▃▄▅▆▇█"
WIDTH = 48
"""Most letters of a curve."""


def print_curves(run: Path, screen: Console) -> None:
    """Write the loss and the rsum on the dev split; nothing for a run of fewer than two values.

    Args:
        run: folder of the run.
        screen: where to; one that cannot show the letters gets none.
    """
    from vsezoo.training.history import read_history

    history = read_history(run)
    for name, points in (("loss", history.losses), ("rsum on dev", history.scores)):
        values = [value for _, value in points]
        if len(values) > 1 and _can_show(screen):
            screen.print(f"{name:<12} {draw_curve(values)}  {values[0]:.4g} → {values[-1]:.4g}")


def draw_curve(values: Sequence[float], width: int = WIDTH) -> str:
    """Return values as letters of different heights: at most `width`, each the mean of its part of the values."""
    count = min(len(values), width)
    cuts = [len(values) * number // count for number in range(count + 1)]
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(LEVELS[round((mean - low) * scale)] for mean in means)


def _can_show(screen: Console) -> bool:
    try:
        f"{LEVELS}→".encode(screen.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
