"""A check: what the core expects of a part, a function that tests it, and a report of what was found instead."""

from __future__ import annotations

import functools
import random
import traceback
from abc import ABC
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from vsezoo.errors import UsageError, VsezooError, suggest_name
from vsezoo.testing.subject import Subject


class BrokenPromiseError(Exception):
    """What a check found instead of what it expects. Raised inside checks, never by the kit."""


@dataclass(frozen=True)
class Failure:
    """A check that failed.

    Attributes:
        check: its name.
        expected: what the core relies on.
        came: what was found instead.
        remedy: how to fix it.
    """

    check: str
    expected: str
    came: str
    remedy: str

    def __str__(self) -> str:
        """Return the failure as a paragraph."""
        return f"{self.check}\n  expected: {self.expected}\n  got: {self.came}\n  fix: {self.remedy}"


class ConformanceError(VsezooError):
    """A part or recipe that does not keep what the core relies on.

    Attributes:
        failures: every check that failed.
    """

    def __init__(self, subject: str, failures: Sequence[Failure], made: int) -> None:
        self.failures = tuple(failures)
        checks = f"{len(failures)} of {made} checks" if made > 1 else f"the check {failures[0].check!r}"
        super().__init__(f"{subject} fails {checks}.", remedy="\n".join(map(str, failures)))


@dataclass(frozen=True)
class Check:
    """One check of one part. Calling it raises a ConformanceError if it fails.

    Attributes:
        name: as in the documentation and in `leave_out`.
        subject: what it checks.
        expected: what the core relies on.
        remedy: how to fix a failure.
        trial: raises if the expectation is not met.
    """

    name: str
    subject: Subject
    expected: str
    remedy: str
    trial: Callable[[], None]

    @property
    def __name__(self) -> str:
        """The name, which pytest uses as the id of a parametrised test."""
        return self.name

    def __call__(self) -> None:
        """Run the check.

        Raises:
            ConformanceError: if it fails.
        """
        try:
            with self.subject.registered(), _kept_random():
                self.trial()
        except (Exception, SystemExit) as error:  # anything that an author's code raises is a failure of the check
            failure = Failure(self.name, self.expected, self._describe(error), self._advise(error))
            raise ConformanceError(str(self.subject), [failure], made=1) from error

    def _describe(self, error: BaseException) -> str:
        if isinstance(error, BrokenPromiseError):
            return str(error)
        text = " ".join(str(error).split())
        place = self._find_place(error)
        return f"{type(error).__name__}: {text} (line {place.lineno} of {place.filename})"

    def _advise(self, error: BaseException) -> str:
        """Return how to fix a failure: an exception of another cause than the check's own needs other advice."""
        if isinstance(error, BrokenPromiseError):
            return self.remedy
        if isinstance(error, VsezooError) and error.remedy:
            return error.remedy
        place = self._find_place(error)
        where = f"line {place.lineno}" if place.filename == self.subject.file else "the code in the traceback"
        return f"Correct {where}, which raised before there was a result to check. Otherwise: {self.remedy}"

    def _find_place(self, error: BaseException) -> traceback.FrameSummary:
        """Return the last line in the subject's own file that led to an exception, or the line that raised it."""
        frames = traceback.extract_tb(error.__traceback__)
        return next((frame for frame in reversed(frames) if frame.filename == self.subject.file), frames[-1])


def make_checks(checks: Sequence[Check]) -> None:
    """Run checks and report all failures together. If the first one fails, the others are not run.

    Raises:
        ConformanceError: if one fails.
    """
    failures: list[Failure] = []
    cause: ConformanceError | None = None
    made = 0
    for check in checks:
        made += 1
        try:
            check()
        except ConformanceError as error:
            failures += error.failures
            cause = cause or error
            if made == 1:
                break
    if cause is not None:
        raise ConformanceError(str(checks[0].subject), failures, made) from cause.__cause__


Method = TypeVar("Method", bound=Callable[[Any], None])


def promise(name: str, remedy: str, applies: Callable[[Any], bool] = lambda kit: True) -> Callable[[Method], Method]:
    """Make a method of a kit a check. Its docstring says what the core expects of the part.

    Args:
        name: of the check.
        remedy: how to fix a failure.
        applies: whether the check applies to the part of a kit.
    """

    def mark(method: Method) -> Method:
        expected = " ".join((method.__doc__ or "").split())
        method.__dict__["promise"] = (name, expected, remedy, applies)
        return method

    return mark


@dataclass
class Kit(ABC):
    """The checks of one kind of part. A subclass adds settings as fields, and checks as methods with `promise`.

    Attributes:
        subject: what to check.
        leave_out: names of checks to skip, where the part differs on purpose.
    """

    subject: Subject
    leave_out: Collection[str] = ()

    def list_checks(self) -> list[Check]:
        """Return the checks in the order in which failures are best fixed: those of the base class first.

        Raises:
            UsageError: if `leave_out` has an unknown name.
        """
        known = dict.fromkeys(name for owner in reversed(type(self).__mro__) for name in vars(owner))
        marked = {name: mark for name in known if (mark := getattr(getattr(type(self), name, None), "promise", None))}
        names = [mark[0] for mark in marked.values()]
        for name in self.leave_out:
            if name not in names:
                listing = f"The checks are {', '.join(names)}."
                raise UsageError(f"There is no check {name!r} to leave out.", remedy=suggest_name(name, names, listing))
        return [
            Check(name, self.subject, expected, remedy, functools.partial(_try, self, method))
            for method, (name, expected, remedy, applies) in marked.items()
            if name not in self.leave_out and applies(self)
        ]


def _try(kit: Kit, method: str) -> None:
    getattr(kit, method)()


def require(kept: bool | np.bool_, came: str) -> None:
    """Raise a BrokenPromiseError that says what was found, unless the condition holds."""
    if not kept:
        raise BrokenPromiseError(came)


def require_equal(found: Tensor, expected: Tensor, what: str, tolerance: float = 1e-5) -> None:
    """Require equal shapes, and values within `tolerance`, relative to the largest value if that is over 1.

    Results for a batch and for a part of it differ in the last bits, since products are computed in other blocks.
    """
    require(isinstance(found, Tensor), f"{what}: of type {type(found).__name__}, not a tensor")
    require(found.shape == expected.shape, f"{what}: shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    if not expected.numel():
        return
    found, expected = found.detach().double(), expected.detach().double()
    difference, limit = float((found - expected).abs().max()), tolerance * max(1.0, float(expected.abs().max()))
    require(difference <= limit, f"{what}: differ by {difference:.2g}, and rounding allows {limit:.2g}")


@contextmanager
def _kept_random() -> Iterator[None]:
    """Restore the caller's random generators afterwards, so that no test depends on a check before it."""
    python, arrays = random.getstate(), np.random.get_state(legacy=True)
    with torch.random.fork_rng(devices=()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
