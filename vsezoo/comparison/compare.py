"""Compare models: figures, spread over seeds, intervals over queries, and paired tests against the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vsezoo.comparison.compatibility import check_groups
from vsezoo.comparison.grouping import Group
from vsezoo.comparison.hits import FIGURES, Array, measure
from vsezoo.comparison.resampling import RESAMPLES, adjust_holm, bootstrap, compare_pairs, find_interval
from vsezoo.errors import UsageError


@dataclass(frozen=True)
class Row:
    """One model of a comparison.

    Attributes:
        group: its results.
        mean: `(7,)` the figures (`FIGURES`), means over the seeds.
        spread: `(7,)` their standard deviations over the seeds, with n - 1; NaN of a single run.
        interval: `(7, 2)` the 95 % interval of the mean over queries, for these very seeds.
        difference: `(7,)` to the first model; None: it is the first, or cannot be paired.
        difference_interval: `(7, 2)` the 95 % interval of the difference, paired.
        p: `(7,)` p-values of the paired test, adjusted for the number of models (Holm).
        notes: what a reader should know.
    """

    group: Group
    mean: Array
    spread: Array
    interval: Array
    difference: Array | None
    difference_interval: Array | None
    p: Array | None
    notes: Sequence[str]

    @property
    def name(self) -> str:
        """In tables."""
        return self.group.name

    @property
    def runs(self) -> int:
        """How many results it is the mean of."""
        return len(self.group.results)

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values."""

        def name_figures(values: Array | None) -> dict[str, Any] | None:
            if values is None or np.isnan(values).any():
                return None
            return dict(zip(FIGURES, values.tolist(), strict=True))

        return {
            "name": self.name,
            "files": [str(result.file) for result in self.group.results],
            "mean": name_figures(self.mean),
            "spread": name_figures(self.spread),
            "interval": name_figures(self.interval),
            "difference": name_figures(self.difference),
            "difference_interval": name_figures(self.difference_interval),
            "p": name_figures(self.p),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Comparison:
    """Models on the same queries, in the order in which they were given.

    Attributes:
        rows: the first one is what the others are compared with.
        resamples: of the bootstrap and of the test.
    """

    rows: Sequence[Row]
    resamples: int

    @property
    def evaluation(self) -> Any:
        """The labels of the first result: data, split, protocol, images, captions."""
        return self.rows[0].group.results[0].evaluation

    def to_json(self) -> dict[str, Any]:
        """Return what `vsezoo compare --json` prints."""
        labels = ("data", "split", "protocol", "images", "captions")
        about = {name: self.evaluation[name] for name in labels}
        return {**about, "resamples": self.resamples, "rows": [row.to_json() for row in self.rows]}


def compare(groups: Sequence[Group], *, resamples: int = RESAMPLES, seed: int = 0, anyway: bool = False) -> Comparison:
    """Compare groups of results with the first of them.

    Args:
        groups: what `read_groups` gives.
        resamples: of the bootstrap and of the test.
        seed: of their random numbers; equal seeds give equal figures.
        anyway: put results of different evaluations into one table, marked and without a test.

    Raises:
        UsageError: if there is no group, or data, split, protocol or ground truth differ.
    """
    if not groups:
        raise UsageError("There is nothing to compare.")
    notes, paired = check_groups(groups, anyway=anyway)
    draws: list[Array] = [np.empty(0)] * len(groups)
    same = [index for index, fits in enumerate(paired) if fits]
    shared = bootstrap([groups[index].hits for index in same], groups[0].results[0].weights, resamples, seed)
    for index, values in zip(same, shared, strict=True):
        draws[index] = values
    for index, group in enumerate(groups):
        if not paired[index]:
            draws[index] = bootstrap([group.hits], group.results[0].weights, resamples, seed)[0]
    tests = [compare_pairs(groups[0].hits, groups[index].hits, resamples, seed) for index in same[1:]]
    adjusted = dict(zip(same[1:], adjust_holm(np.array(tests)) if tests else [], strict=True))
    means, spreads = [_measure(group) for group in groups], [_spread(group) for group in groups]
    for index in adjusted:
        if abs(means[index][-1] - means[0][-1]) < np.nanmax([0, spreads[index][-1], spreads[0][-1]]):
            notes[index].append("difference in rsum below the spread over seeds, whatever p is")
    return Comparison(
        [
            Row(
                group,
                means[index],
                spreads[index],
                find_interval(draws[index]),
                means[index] - means[0] if index in adjusted else None,
                find_interval(draws[index] - draws[0]) if index in adjusted else None,
                adjusted.get(index),
                notes[index],
            )
            for index, group in enumerate(groups)
        ],
        resamples,
    )


def _spread(group: Group) -> Array:
    if len(group.results) == 1:
        return np.full(len(FIGURES), np.nan)
    spread: Array = group.figures.std(axis=1, ddof=1)
    return spread


def _measure(group: Group) -> Array:
    return measure(group.hits.sum(0), group.results[0].weights.sum(0))
