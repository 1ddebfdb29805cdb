"""The trials of a search, in the folders of their runs: what was chosen, and what came of it. Imports no optuna.

A trial is a run in `trial-1`, `trial-2`, … with a file of its settings, which is written before the run starts. So the
folders are all that a search which goes on needs to know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.errors import StorageError
from vsezoo.storage.atomic_file import write_whole
from vsezoo.storage.checkpoint_layout import to_text
from vsezoo.storage.plain_file import read_plain
from vsezoo.sweeps.listing import FAILURE, PRUNED, is_complete
from vsezoo.training.history import read_history

CHOSEN = "trial.json"
"""The settings of a trial, in the folder of its run."""


@dataclass(frozen=True)
class Trial:
    """A trial.

    Attributes:
        number: from 1.
        folder: of its run.
        settings: what was chosen, by dotted name.
        scores: the scores of the validations so far, by their numbers from 1, as the best checkpoint is chosen by.
        state: `complete`, `pruned`, `failed`, or `open`: not started, stopped, or in progress.
    """

    number: int
    folder: Path
    settings: Mapping[str, Any]
    scores: Mapping[int, float]
    state: str

    @property
    def best(self) -> float | None:
        """The best score on the dev split; None: none yet."""
        return max(self.scores.values(), default=None)


def list_trials(folder: Path) -> list[Trial]:
    """Return the trials in the folder of a search, by number.

    Raises:
        StorageError: for a file of settings that cannot be read.
    """
    return [read_trial(run) for run in sorted(folder.glob(f"trial-*/{CHOSEN}"), key=lambda file: _number(file.parent))]


def read_trial(file: Path) -> Trial:
    """Return the trial of a file of settings."""
    folder = file.parent
    try:
        settings = json.loads(read_plain(file))
        number = _number(folder)
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError("cannot be read.", file=file, remedy="Remove the folder of this trial.") from error
    events = read_history(folder).validations
    scores = {number: float(event["score"]) for number, event in enumerate(events, start=1)}
    state = "open"
    if (folder / PRUNED).exists():
        state = "pruned"
    elif is_complete(folder):
        state = "complete"
    elif (folder / FAILURE).exists():
        state = "failed"
    return Trial(number, folder, settings, scores, state)


def add_trial(folder: Path, number: int, settings: Mapping[str, Any]) -> Trial:
    """Make the folder of a trial."""
    trial = folder / f"trial-{number}"
    trial.mkdir(parents=True, exist_ok=True)
    write_whole(trial / CHOSEN, to_text(settings))
    return Trial(number, trial, settings, {}, "open")


def _number(folder: Path) -> int:
    digits = folder.name.removeprefix("trial-")
    return int(digits) if digits.isdecimal() else 0
