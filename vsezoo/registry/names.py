"""How names are compared and sorted."""

from __future__ import annotations

import re


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """Return a sort key for names in natural order: case is ignored, and vse2 comes before vse10."""
    parts = [part for part in re.split(r"(\d+)", text.lower()) if part]
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def normalize(distribution: str) -> str:
    """Return the normalised name of a distribution, as package indexes compare them."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
