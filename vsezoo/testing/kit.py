"""What a check is: a promise that a part makes to the core, a trial of it, and a report of what came instead."""

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
    """What came instead of what a check expects. Raised inside checks, never by the kit."""


@dataclass(frozen=True)
class Failure:
    """A check that failed.

    Attributes:
        check: its name.
        expected: what the core relies on.
        came: what was there instead.
        remedy: what to do about it.
    """

    check: str
    expected: str
    came: str
    remedy: str

    def __str__(self) -> str:
        """Return the paragraph about it."""
        return f"{self.check}\n  expected: {self.expected}\n  came: {self.came}\n  to do: {self.remedy}"


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
    """One check of one part, which raises a ConformanceError when it is called and fails.

    Attributes:
        name: by which the documentation explains it, and `leave_out` leaves it out.
        subject: whom it checks.
        expected: what the core relies on.
        remedy: what to do when it fails.
        trial: raises when it is not so.
    """

    name: str
    subject: Subject
    expected: str
    remedy: str
    trial: Callable[[], None]

    @property
    def __name__(self) -> str:
        """The name, which pytest makes the id of a parametrised test."""
        return self.name

    def __call__(self) -> None:
        """Make the check.

        Raises:
            ConformanceError: when it fails.
        """
        try:
            with self.subject.registered(), _kept_random():
                self.trial()
        except (Exception, SystemExit) as error:  # what an author's code raises is what the check is about
            failure = Failure(self.name, self.expected, self._describe(error), self.remedy)
            raise ConformanceError(str(self.subject), [failure], made=1) from error

    def _describe(self, error: BaseException) -> str:
        if isinstance(error, BrokenPromiseError):
            return str(error)
        text = " ".join(str(error).split())
        frames = traceback.extract_tb(error.__traceback__)
        place = next((frame for frame in reversed(frames) if frame.filename == self.subject.file), frames[-1])
        return f"{type(error).__name__}: {text} (line {place.lineno} of {place.filename})"


def make_checks(checks: Sequence[Check]) -> None:
    """Make checks, and tell all failures at once. What fails the first one cannot pass the others.

    Raises:
        ConformanceError: when one fails.
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
    """Make a method of a kit the trial of a promise: what its docstring says of the part, which the core relies on.

    Args:
        name: of the check.
        remedy: what to do when it is not so.
        applies: tells of a kit whether its part makes this promise.
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
        leave_out: names of checks that are not made: what the part does otherwise, and means to.
    """

    subject: Subject
    leave_out: Collection[str] = ()

    def list_checks(self) -> list[Check]:
        """Return the checks in the order in which a reader mends what they find: of the base class first.

        Raises:
            UsageError: when `leave_out` has a name that no check has.
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
    """Raise a BrokenPromiseError that says what came, unless the promise is kept."""
    if not kept:
        raise BrokenPromiseError(came)


def require_equal(found: Tensor, expected: Tensor, what: str, tolerance: float = 1e-5) -> None:
    """Require tensors of one shape whose numbers differ by no more than `tolerance`, of the largest if that is over 1.

    The numbers of a batch and of a part of it differ in their last bits: products are cut into other blocks.
    """
    require(isinstance(found, Tensor), f"{what}: of type {type(found).__name__}, no tensor")
    require(found.shape == expected.shape, f"{what}: the shape {tuple(found.shape)}, not {tuple(expected.shape)}")
    if not expected.numel():
        return
    found, expected = found.detach().double(), expected.detach().double()
    difference, limit = float((found - expected).abs().max()), tolerance * max(1.0, float(expected.abs().max()))
    require(difference <= limit, f"{what}: a difference of {difference:.2g}, where {limit:.2g} would be rounding")


@contextmanager
def _kept_random() -> Iterator[None]:
    """Leave the caller's random generators as they are; no deadlines or orders of tests hang on a check."""
    python, arrays = random.getstate(), np.random.get_state(legacy=True)
    with torch.random.fork_rng(devices=()):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)
