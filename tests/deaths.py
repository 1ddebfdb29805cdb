"""Deaths at a chosen moment of writing to the disk, in this process or of one; no tests in here."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WRITING = ((os, "fsync"), (Path, "replace"), (Path, "rename"), (Path, "unlink"))
"""The calls that flush, rename or remove a file."""


class Killed(BaseException):
    """What no code catches."""


def die() -> None:
    """Raise `Killed`."""
    raise Killed


def kill() -> None:
    """Do to this process what Linux does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def doomed(moment: int, end: Callable[[], None]) -> Iterator[pytest.MonkeyPatch]:
    """Call `end` before the so many-th of the calls of `WRITING`; yield what else may be patched meanwhile."""
    moments = itertools.count(1)

    def count(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(moments) == moment:
                end()
            return original(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in WRITING:
            patch.setattr(owner, name, count(getattr(owner, name)))
        yield patch
