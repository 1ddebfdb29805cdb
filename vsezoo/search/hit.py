"""A result of a search."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hit:
    """A search result.

    Attributes:
        rank: position, from 1.
        score: score of the model's similarity; higher is better.
        id: id in the collection.
        item: index in the collection.
        text: the sentence; empty for an image.
        uncertainty: of a probabilistic model, how little it could tell about the item; None for others.
    """

    rank: int
    score: float
    id: str
    item: int
    text: str = ""
    uncertainty: float | None = None
