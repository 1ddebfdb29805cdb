"""End a trial early that is worse than the others were after as many validations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from vsezoo.evaluation.report import Evaluation
from vsezoo.recipe import Recipe
from vsezoo.sweeps.study import is_hopeless
from vsezoo.sweeps.trials import CHOSEN, list_trials, read_trial
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress


class PrunedTrial(Exception):  # noqa: N818 (not an error)
    """Ends a trial that is hopeless."""


class Pruning(Callback):
    """Looks at a trial after each validation but the last.

    Args:
        folder: of its run, next to those of the others.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._steps = folder, 0

    def begin(self, recipe: Recipe, steps_per_epoch: int, progress: Progress) -> None:
        """Remember when the run ends."""
        self._steps = steps_per_epoch * recipe.training.num_epochs

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        """Raise PrunedTrial if the trial is hopeless; the log has its score already."""
        if progress.step >= self._steps:
            return
        trial = replace(read_trial(self._folder / CHOSEN), state="open")
        if is_hopeless(trial, list_trials(self._folder.parent)):
            raise PrunedTrial
