"""How names are compared and sorted."""

from __future__ import annotations

import re


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """Return what sorts names as people do: without regard to case, and vse2 before vse10."""
    parts = [part for part in re.split(r"(\d+)", text.lower()) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def normalize(distribution: str) -> str:
    """Return the form in which package indexes compare the names of distributions."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
