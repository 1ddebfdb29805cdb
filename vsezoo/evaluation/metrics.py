"""The standard metrics, from ranks counted from 0, and the criteria for the best checkpoint.

Uses ranks as arrays only. Imports neither torch nor, before there are ranks, NumPy: stored results are shown quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from vsezoo.errors import require_name

if TYPE_CHECKING:
    import numpy as np

TIE_RULES: Mapping[str, str] = {
    "lower_index": "of equal scores the lower index comes first",
    "pessimistic": "of equal scores the match comes last",
    "expected": "the mean place over a random order of equal scores",
}
"""Descriptions of the tie rules."""

PROTOCOLS: Mapping[str, str] = {
    "full": "all images against all captions",
    "fold5": "5 folds of 1,000 images, averaged",
}
"""Descriptions of the protocols."""

LABELS = ("R@1", "R@5", "R@10", "MedR", "MeanR")
"""The five metrics of a direction, in the order of the fields of `DirectionMetrics`."""


@dataclass(frozen=True)
class Ranks:
    """Ranks counted from 0: int64, or float64 under the tie rule `expected`.

    Attributes:
        i2t: `(N,)` rank of the image's best own caption among all M captions.
        t2i: `(M,)` rank of the caption's image among the N distinct images.
        i2t_tied: `(N,)` bool, whether a caption of another image has exactly the score of the best own caption.
        t2i_tied: `(M,)` bool, whether another image has exactly the score of the caption's own.
    """

    i2t: np.ndarray
    t2i: np.ndarray
    i2t_tied: np.ndarray
    t2i_tied: np.ndarray


@dataclass(frozen=True)
class DirectionMetrics:
    """The metrics of one direction, not rounded: recalls in percent, median and mean rank counted from 1."""

    r1: float
    r5: float
    r10: float
    medr: float
    meanr: float

    @classmethod
    def from_ranks(cls, ranks: np.ndarray) -> DirectionMetrics:
        """Compute metrics from ranks counted from 0, one per query `(Q,)`.

        R@K = 100 · #(rank < K) / Q, MedR = ⌊median(rank)⌋ + 1, MeanR = mean(rank) + 1, as in Kiros et al. (2014) and
        all later papers.
        """
        import numpy as np

        r1, r5, r10 = (100.0 * float(np.mean(ranks < k)) for k in (1, 5, 10))
        return cls(r1, r5, r10, float(np.floor(np.median(ranks))) + 1, float(np.mean(ranks)) + 1)

    @property
    def recalls(self) -> tuple[float, float, float]:
        """R@1, R@5 and R@10 in percent."""
        return self.r1, self.r5, self.r10

    def to_json(self) -> dict[str, float]:
        """Return the metrics by label."""
        return dict(zip(LABELS, astuple(self), strict=True))


@dataclass(frozen=True)
class Ties:
    """Number of queries for which another item has exactly the score of the best match, and the tie rule."""

    rule: str
    i2t: int
    t2i: int

    @property
    def total(self) -> int:
        """The tied queries of both directions."""
        return self.i2t + self.t2i


@dataclass(frozen=True)
class Metrics:
    """The metrics of both directions."""

    i2t: DirectionMetrics
    t2i: DirectionMetrics
    ties: Ties

    @classmethod
    def from_ranks(cls, ranks: Ranks, rule: str) -> Metrics:
        """Compute metrics from ranks that follow this tie rule."""
        ties = Ties(rule, int(ranks.i2t_tied.sum()), int(ranks.t2i_tied.sum()))
        return cls(DirectionMetrics.from_ranks(ranks.i2t), DirectionMetrics.from_ranks(ranks.t2i), ties)

    @property
    def rsum(self) -> float:
        """The sum of the six recalls, 600 at most."""
        return sum(self.i2t.recalls) + sum(self.t2i.recalls)

    @property
    def mr(self) -> float:
        """The mean of the six recalls, printed as mR."""
        return self.rsum / 6

    def to_json(self) -> dict[str, Any]:
        """Return the metrics as JSON values."""
        return {
            "i2t": self.i2t.to_json(),
            "t2i": self.t2i.to_json(),
            "rsum": self.rsum,
            "mR": self.mr,
            "ties": {"rule": self.ties.rule, "i2t": self.ties.i2t, "t2i": self.ties.t2i},
        }


def average_metrics(parts: Sequence[Metrics]) -> Metrics:
    """Return the mean of each metric over parts of a split; ties are summed.

    The rsum of the result is the mean of the parts' rsum, as both are sums.
    """
    import numpy as np

    def average(directions: Iterable[DirectionMetrics]) -> DirectionMetrics:
        return DirectionMetrics(*np.mean([astuple(direction) for direction in directions], axis=0).tolist())

    ties = Ties(parts[0].ties.rule, sum(part.ties.i2t for part in parts), sum(part.ties.t2i for part in parts))
    return Metrics(average(part.i2t for part in parts), average(part.t2i for part in parts), ties)


@dataclass(frozen=True)
class LanguageMetrics:
    """The figures of a language.

    Attributes:
        images: number of images with captions in it.
        captions: number of these.
        metrics: of these images and captions alone; of fold5, the mean over the folds that have some.
    """

    images: int
    captions: int
    metrics: Metrics

    def to_json(self) -> dict[str, Any]:
        """Return them as JSON values."""
        return {"images": self.images, "captions": self.captions, **self.metrics.to_json()}


CRITERIA: Mapping[str, Callable[[Metrics], float]] = {
    "rsum": lambda metrics: metrics.rsum,  # VSE, VSE++, VSE∞
    "r1+r5": lambda metrics: sum(metrics.i2t.recalls[:2]) + sum(metrics.t2i.recalls[:2]),  # VSRN
    "search": lambda metrics: sum(metrics.t2i.recalls),  # order-embeddings
}
"""Criteria for choosing the best checkpoint of a run; higher is better."""


def score_metrics(metrics: Metrics, name: str) -> float:
    """Return the score of a selection criterion, one of `CRITERIA`.

    Raises:
        UsageError: for an unknown criterion.
    """
    require_name("selection criterion", name, CRITERIA)
    return CRITERIA[name](metrics)
