"""The progress of a training run on standard error: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import time

from vsezoo.cli import console
from vsezoo.cli.bars import make_bar
from vsezoo.cli.durations import format_duration
from vsezoo.errors import pluralise
from vsezoo.evaluation.report import Evaluation
from vsezoo.recipe import Recipe
from vsezoo.training.callbacks import Callback, StepRecord
from vsezoo.training.state import Progress


class TrainingProgress(Callback):
    """A bar for each epoch, and a line for each validation and warning.

    The loss shown is the mean over the epoch so far, of the steps that are logged. The time left is that of the whole
    run, validations included, at the pace of the steps since it started or was resumed.
    """

    def __init__(self) -> None:
        self._screen = console.messages()
        self._bar = make_bar(self._screen)
        self._task = self._bar.add_task("", total=None, note="")
        self._steps, self._epochs = 0, 0
        self._losses: list[float] = []  # of this epoch
        self._epoch = 0  # of the losses
        self._started, self._first = 0.0, 0  # time and step at which this process began

    def prepare(self, what: str, done: int, total: int) -> None:
        """Show a progress bar for the preparation."""
        self._bar.start()
        self._bar.update(self._task, description=what, completed=done, total=total)

    def begin(self, recipe: Recipe, steps_per_epoch: int, progress: Progress) -> None:
        """Print what is trained and start the bar."""
        settings = recipe.training
        self._steps, self._epochs = steps_per_epoch, settings.num_epochs
        self._started, self._first = time.monotonic(), progress.step
        start = "" if progress.step == 0 else f", resumed after step {progress.step:,}"
        self._screen.print(
            f"Training {recipe.name}: {pluralise(self._epochs, 'epoch')} of {pluralise(steps_per_epoch, 'step')}, "
            f"{settings.precision}, seed {settings.seed}{start}"
        )
        self._bar.start()
        self._bar.reset(self._task, description=self._describe(progress), total=self._steps, completed=progress.batch)

    def step(self, progress: Progress) -> None:
        """Advance the bar."""
        left = self._estimate(progress)
        note = ", ".join(filter(None, [self._describe_loss(), f"run: {left} left" if left else ""]))
        self._bar.update(self._task, description=self._describe(progress), completed=progress.batch, note=note)

    def record(self, record: StepRecord) -> None:
        """Add the loss to the mean of its epoch."""
        if record.epoch != self._epoch:
            self._epoch, self._losses = record.epoch, []
        self._losses.append(record.loss)

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        """Print the recalls on the dev split."""
        i2t, t2i = evaluation.metrics.i2t, evaluation.metrics.t2i
        loss, left = self._describe_loss(), self._estimate(progress)
        self._screen.print(
            f"{self._describe(progress)}, step {progress.step:,}: {loss}{'; ' * bool(loss)}dev R@1/5/10 "
            f"i2t {i2t.r1:.1f}/{i2t.r5:.1f}/{i2t.r10:.1f}, t2i {t2i.r1:.1f}/{t2i.r5:.1f}/{t2i.r10:.1f}, "
            f"score {score:.1f}{' (best)' if best else ''}{f'; {left} left' if left else ''}"
        )

    def warning(self, text: str) -> None:
        """Print a warning."""
        console.print_warning(text)

    def note(self, text: str) -> None:
        """Print something worth knowing."""
        self._screen.print(text, style="dim")

    def close(self) -> None:
        """Remove the bar."""
        self._bar.stop()

    def _describe_loss(self) -> str:
        return f"mean loss {sum(self._losses) / len(self._losses):.4g}" if self._losses else ""

    def _estimate(self, progress: Progress) -> str:
        """Return the time left of the whole run; empty at its end, or before there is anything to go by."""
        done, left = progress.step - self._first, self._steps * self._epochs - progress.step
        return format_duration((time.monotonic() - self._started) / done * left) if done > 0 and left > 0 else ""

    def _describe(self, progress: Progress) -> str:
        return f"epoch {min(progress.epoch + 1, self._epochs)}/{self._epochs}"
