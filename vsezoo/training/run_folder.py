"""The folder of a training run: where it is, what is in it, and who may write to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vsezoo.errors import CheckpointError, DataError, StorageError, UsageError, explain_system
from vsezoo.storage.checkpoint_layout import BEST, CONFIG
from vsezoo.storage.folders import find_folder, remove_leftovers
from vsezoo.training.callbacks import LOG, TENSORBOARD
from vsezoo.training.state import ANEW, LAST, Progress, State, has_state, read_state, read_step

LOCK = ".lock"
"""Held in the folder of a run while it is in progress."""


def choose_output(model: str, data: str) -> Path:
    """Return the folder of a run for which none is named."""
    return Path("runs") / f"{model}-{Path(data).absolute().name}"


def find_run(folder: Path, resume: bool) -> State | None:
    """Return the state to resume from; refuse to write over a run without being told to."""
    if folder.exists() and not folder.is_dir():
        raise UsageError("is a file, not a folder.", file=folder, remedy="Choose another --output.")
    held = [name for name in (LAST, BEST, LOG, CONFIG) if find_folder(folder / name).exists()]
    if held and not resume:
        raise UsageError(
            f"already holds a run ({', '.join(held)}).",
            file=folder,
            remedy="Go on with it by --resume, choose another --output, or remove the folder.",
        )
    if resume:
        for name in (LAST, BEST):
            remove_leftovers(folder / name)
        if has_state(folder):
            return read_state(folder)
        if BEST in held:
            problem = f"holds {BEST}/ but no {LAST}/, so there is nothing to resume from."
            raise CheckpointError(problem, file=folder, remedy=ANEW)
    return None  # a new run, or one that was killed before it saved anything


@contextmanager
def hold_run(folder: Path, state: State | None) -> Iterator[None]:
    """Keep every other training out of a run's folder, which is made if need be.

    Args:
        folder: the run's.
        state: what was read of it; None: that there was none.

    Raises:
        UsageError: when another training is at work there, or has been since the state was read.
        StorageError: when the folder cannot be written.
    """
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        remedy = "Wait until it has ended, or choose another --output."
        raise UsageError("another training is at work in it.", file=folder, remedy=remedy) from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    except OSError as error:
        reason, remedy = explain_system(error)
        raise StorageError(f"cannot be written: {reason}.", file=folder, remedy=remedy) from error
    try:
        if read_step(folder) != (None if state is None else state.progress.step):
            remedy = "Go on with it by --resume, or choose another --output."
            raise UsageError("another training has been at work in it meanwhile.", file=folder, remedy=remedy)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # a training that waits for nothing cannot hold it
        lock.release()
        with suppress(OSError):  # it is empty if nothing was begun
            folder.rmdir()


@contextmanager
def discard_unless_begun(folder: Path, progress: Progress) -> Iterator[None]:
    """Remove what a new run has written if a user's mistake ends it before its first step.

    The mended command can then be given again, for the same folder.
    """
    try:
        yield
    except (DataError, UsageError):
        if progress.step == 0:
            for name in (LAST, TENSORBOARD):
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / LOG).unlink(missing_ok=True)
        raise
