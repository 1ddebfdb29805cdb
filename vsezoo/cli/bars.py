"""Progress bars on standard error, invisible where it is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
)
from rich.table import Column

from vsezoo.cli import console
from vsezoo.cli.durations import format_duration
from vsezoo.storage.waiting import Advance, AdvanceNamed


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
        left = "" if task.time_remaining is None else f", {format_duration(task.time_remaining)} left"
        return f"{format_duration(task.elapsed or 0)} elapsed{left}"


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


@contextmanager
def show_progress(description: str) -> Iterator[Advance]:
    """Show a progress bar."""
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


@contextmanager
def show_splits() -> Iterator[AdvanceNamed]:
    """Show a progress bar for each split, which appears when the split is first named."""
    with make_bar(console.messages()) as bar:

        @cache
        def add_split(name: str) -> TaskID:
            return bar.add_task(name, total=None, note="")

        yield lambda name, done, total: bar.update(add_split(name), completed=done, total=total)
