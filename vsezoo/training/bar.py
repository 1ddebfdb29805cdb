"""A progress bar for programs and notebooks; the command line has its own."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from tqdm import TqdmWarning

from vsezoo.evaluation.report import Evaluation
from vsezoo.recipe import Recipe
from vsezoo.training.callbacks import Callback, StepRecord
from vsezoo.training.state import Progress

with warnings.catch_warnings():
    warnings.simplefilter("ignore", TqdmWarning)  # without ipywidgets a notebook gets a bar of text
    from tqdm.auto import tqdm


class ProgressBar(Callback):
    """A progress bar on standard error, or as a widget in a notebook with ipywidgets.

    It is a training callback, and a progress callback for everything that takes `advance`; one object may serve one
    call after the other:

        bar = vsezoo.ProgressBar()
        vsezoo.train("vsepp", callbacks=[bar])
        vsezoo.open_index("runs/vsepp-shapes", images="photos", advance=bar)
    """

    def __init__(self) -> None:
        self._bar: Any = None  # of tqdm, which has no types
        self._what, self._steps = "", 0

    def __call__(self, *report: Any) -> None:
        """Show that so many of so many are done: `(done, total)`, or with what they are `(what, done, total)`."""
        *what, done, total = report
        self._show(" ".join(map(str, what)), done, total)
        if done >= total:
            self.close()

    def prepare(self, what: str, done: int, total: int) -> None:
        """Show the preparation."""
        self(what, done, total)

    def begin(self, recipe: Recipe, steps_per_epoch: int, progress: Progress) -> None:
        """Show a bar for the steps of the whole run."""
        self._steps = steps_per_epoch * recipe.training.num_epochs
        self._show(recipe.name, progress.step, self._steps)

    def step(self, progress: Progress) -> None:
        """Advance the bar."""
        self._show(self._what, progress.step, self._steps)

    def record(self, record: StepRecord) -> None:
        """Show the epoch and the loss."""
        self._bar.set_postfix(epoch=record.epoch, loss=f"{record.loss:.4g}", refresh=False)

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        """Print the score on the dev split."""
        tqdm.write(f"step {progress.step:,}: dev score {score:.1f}{' (best)' if best else ''}", file=sys.stderr)

    def warning(self, text: str) -> None:
        """Print a warning."""
        tqdm.write(f"Warning: {text}", file=sys.stderr)

    def end(self, evaluation: Evaluation) -> None:
        """Close the bar."""
        self.close()

    def close(self) -> None:
        """Close the bar, if there is one; it stays to be seen."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _show(self, what: str, done: int, total: int) -> None:
        """Set the bar to a state; one of other work is closed first."""
        if self._bar is not None and ((self._what, self._bar.total) != (what, total) or self._bar.n > done):
            self.close()
        if self._bar is None:
            self._what, self._bar = what, tqdm(desc=what or None, total=total, initial=done)
        self._bar.update(done - self._bar.n)
