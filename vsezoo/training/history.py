"""What a run has logged: losses and validations over its steps. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.training.layout import LOG


@dataclass(frozen=True)
class History:
    """The events of a run, in the order of its steps.

    Attributes:
        begin: the first event: the recipe and `steps_per_epoch`; empty if unknown.
        steps: those of training steps: `step`, `epoch`, `loss`, …
        validations: those of the dev split: `step`, `epoch`, `score`, `best`, `rsum`, …
    """

    begin: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    validations: Sequence[Mapping[str, Any]]

    @property
    def losses(self) -> list[tuple[float, float]]:
        """Step and loss of a batch."""
        return [(event["step"], event["loss"]) for event in self.steps]

    @property
    def scores(self) -> list[tuple[float, float]]:
        """Step and rsum on the dev split."""
        return [(event["step"], event["rsum"]) for event in self.validations]


def read_history(run: Path) -> History:
    """Read the log of a run. What is absent or damaged is left out; a run in progress may have half a last line."""
    begin: dict[str, Any] = {}
    kept: dict[str, list[dict[str, Any]]] = {"step": [], "validation": []}
    needed = {"step": {"step", "loss"}, "validation": {"step", "rsum"}}
    try:
        text = (run / LOG).read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        try:
            event = json.loads(line)
            kind = event["event"]
        except (ValueError, TypeError, KeyError):
            continue
        if kind == "begin":
            begin = event
        elif kind in kept and needed[kind] <= event.keys():
            kept[kind].append(event)
    return History(begin, kept["step"], kept["validation"])
