"""What a run has logged: losses and validations over its steps. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.storage.forms import Anything, Fields, Flag, Integer, Mapped, Number
from vsezoo.storage.json_file import parse_strictly
from vsezoo.storage.plain_file import open_plain
from vsezoo.training.layout import LOG

RECIPE = Fields({}, {"training": Mapped(Anything())}, others=True)
EVENTS = {
    "begin": Fields({"recipe": RECIPE}, {"steps_per_epoch": Integer()}, others=True),
    "step": Fields({"step": Integer(), "loss": Number()}, {}, others=True),
    "validation": Fields(
        {"epoch": Integer(1), "score": Number()}, {"best": Flag(), "step": Integer(), "rsum": Number()}, others=True
    ),
}
"""The forms of the events that are read."""


@dataclass(frozen=True)
class History:
    """The events of a run, in the order of its steps.

    Attributes:
        begin: the first event: the recipe and `steps_per_epoch`; empty if unknown.
        steps: those of training steps: `step`, `loss`, …
        validations: those of the dev split: `epoch`, `score`, `best`, `step`, `rsum`, …
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
        return [(event["step"], event["rsum"]) for event in self.validations if {"step", "rsum"} <= event.keys()]


def read_history(run: Path) -> History:
    """Read the log of a run. What is absent or damaged is left out; a run in progress may have half a last line."""
    kept: dict[str, list[dict[str, Any]]] = {name: [] for name in EVENTS}
    try:
        with open_plain(run / LOG) as lines:
            for line in lines:
                if (event := _read_event(line)) is not None:
                    kept[event["event"]].append(event)
    except OSError:
        pass
    return History(kept["begin"][-1] if kept["begin"] else {}, kept["step"], kept["validation"])


def _read_event(line: bytes) -> dict[str, Any] | None:
    try:
        event = parse_strictly(line)
        EVENTS[event["event"]].check(event, "")
    except (ValueError, KeyError, TypeError):
        return None
    return event  # type: ignore[no-any-return]
