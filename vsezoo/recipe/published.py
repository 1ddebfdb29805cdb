"""The paper and the published results of a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """The paper that a model comes from."""

    title: str
    authors: str
    year: int
    venue: str
    url: str = ""


@dataclass(frozen=True)
class PublishedResult:
    """Published figures with their source. Recalls in percent; None if not reported."""

    data: str
    i2t: tuple[float | None, float | None, float | None]  # R@1, R@5, R@10
    t2i: tuple[float | None, float | None, float | None]
    source: str
    i2t_medr: float | None = None
    t2i_medr: float | None = None
    features: str = ""
    protocol: str = "full"
