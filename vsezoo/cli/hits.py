"""The results of a search, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from vsezoo.cli import console

if TYPE_CHECKING:
    from vsezoo.search.hit import Hit


def describe(hit: Hit, uncertainty: bool = False) -> dict[str, Any]:
    """Return a hit for JSON; an image has no text, and uncertainty is there if it is wanted."""
    left_out = {"text"} if not hit.text else set[str]()
    left_out |= set[str]() if uncertainty else {"uncertainty"}
    return {name: value for name, value in asdict(hit).items() if name not in left_out}


def print_hits(hits: Sequence[Hit], uncertainty: bool = False) -> None:
    """Print the hits as a table; the scale of score and uncertainty depends on the model."""
    columns = ["rank", "score", *(["uncertainty"] if uncertainty else []), "id"]
    columns += ["text"] if any(hit.text for hit in hits) else []
    rows = []
    for hit in hits:
        doubt = "" if hit.uncertainty is None else f"{hit.uncertainty:.4g}"
        cells = {
            "rank": str(hit.rank),
            "score": f"{hit.score:.4f}",
            "uncertainty": doubt,
            "id": hit.id,
            "text": hit.text,
        }
        rows.append([cells[column] for column in columns])
    console.print_table(columns, rows)
