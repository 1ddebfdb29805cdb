"""Durations in one form, in bars, lines and tables."""

from __future__ import annotations


def format_duration(seconds: float) -> str:
    """Return a duration: `0:42`, `12:05`, `1:02:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
