"""Progress on standard error: bars in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
)
from rich.table import Column

from vsezoo.cli import console
from vsezoo.evaluation.report import Evaluation
from vsezoo.recipe import Recipe
from vsezoo.storage.waiting import Advance
from vsezoo.training.callbacks import Callback, StepRecord
from vsezoo.training.state import Progress as RunProgress


class _Words(ProgressColumn):
    """Plain text: names in brackets are not markup, and the console can escape them."""

    def __init__(self, form: str) -> None:
        super().__init__(Column(no_wrap=True))
        self._form = form

    def render(self, task: Task) -> str:
        """Return the text to draw."""
        return self._form.format(task=task)


class _Clock(ProgressColumn):
    """The time that has passed, and the time that is left once it can be estimated."""

    def render(self, task: Task) -> str:
        """Return the text to draw."""
        left = "" if task.time_remaining is None else f", {format_time(task.time_remaining)} left"
        return f"{format_time(task.elapsed or 0)} elapsed{left}"


class _Bar(Progress):
    """A progress bar that leaves nothing behind when it is invisible."""

    def stop(self) -> None:
        """Remove the bar."""
        if not self.disable:  # before rich 14.3, the end of an invisible bar is an empty line
            super().stop()


def make_bar(screen: Console) -> Progress:
    """Return a progress bar, invisible if the screen is not a terminal."""
    return _Bar(
        _Words("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Words("{task.fields[note]}"),
        _Clock(Column(no_wrap=True)),
        console=screen,
        transient=True,
        expand=True,
        disable=not screen.is_terminal,
    )


def format_time(seconds: float) -> str:
    """Return a duration: `0:42`, `12:05`, `1:02:10`."""
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


@contextmanager
def show_encoding(description: str) -> Iterator[Advance]:
    """Show a progress bar for encoding images and captions."""
    with show_phases(description) as (advance,):
        yield advance


@contextmanager
def show_phases(*descriptions: str) -> Iterator[list[Advance]]:
    """Show a progress bar for each of several phases; all but the first appear when they start."""
    with make_bar(console.messages()) as bar:

        def add_phase(number: int, description: str) -> Advance:
            task = bar.add_task(description, total=None, note="", visible=number == 0)
            return lambda done, total: bar.update(task, completed=done, total=total, visible=True)

        yield [add_phase(number, description) for number, description in enumerate(descriptions)]


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

    def begin(self, recipe: Recipe, steps_per_epoch: int, progress: RunProgress) -> None:
        """Print what is trained and start the bar."""
        settings = recipe.training
        self._steps, self._epochs = steps_per_epoch, settings.num_epochs
        self._started, self._first = time.monotonic(), progress.step
        start = "" if progress.step == 0 else f", resumed after step {progress.step:,}"
        self._screen.print(
            f"Training {recipe.name}: {self._epochs} epoch{'s' * (self._epochs > 1)} of "
            f"{steps_per_epoch:,} step{'s' * (steps_per_epoch > 1)}, "
            f"{settings.precision}, seed {settings.seed}{start}"
        )
        self._bar.start()
        self._bar.reset(self._task, description=self._describe(progress), total=self._steps, completed=progress.batch)

    def step(self, progress: RunProgress) -> None:
        """Advance the bar."""
        left = self._estimate(progress)
        note = ", ".join(filter(None, [self._describe_loss(), f"run: {left} left" if left else ""]))
        self._bar.update(self._task, description=self._describe(progress), completed=progress.batch, note=note)

    def record(self, record: StepRecord) -> None:
        """Add the loss to the mean of its epoch."""
        if record.epoch != self._epoch:
            self._epoch, self._losses = record.epoch, []
        self._losses.append(record.loss)

    def validation(self, progress: RunProgress, evaluation: Evaluation, score: float, best: bool) -> None:
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

    def _estimate(self, progress: RunProgress) -> str:
        """Return the time left of the whole run; empty at its end, or before there is anything to go by."""
        done, left = progress.step - self._first, self._steps * self._epochs - progress.step
        return format_time((time.monotonic() - self._started) / done * left) if done > 0 and left > 0 else ""

    def _describe(self, progress: RunProgress) -> str:
        return f"epoch {min(progress.epoch + 1, self._epochs)}/{self._epochs}"
