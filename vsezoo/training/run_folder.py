"""The folder of a training run: its path, its contents, and its lock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from vsezoo.errors import DataError, StorageError, UsageError
from vsezoo.storage.atomic_file import explain_unwritten
from vsezoo.storage.lock import BusyError, hold_lock
from vsezoo.training.layout import LAST, LOCK, LOG, TENSORBOARD
from vsezoo.training.state import Progress, State, read_step


def choose_output(model: str, data: str) -> Path:
    """Return the default folder of a run."""
    return Path("runs") / f"{model}-{Path(data).absolute().name}"


@contextmanager
def hold_run(folder: Path, state: State | None) -> Iterator[None]:
    """Lock the folder of a run, creating it if needed.

    Args:
        folder: folder of the run.
        state: the state read from it; None if there was none.

    Raises:
        UsageError: when another run uses it, or has done so since the state was read.
        StorageError: when the folder cannot be written.
    """
    held = ExitStack()
    try:
        with explain_unwritten(folder):
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(hold_lock(folder / LOCK))
    except BusyError:
        remedy = "Wait until it ends, or choose another --output."
        raise UsageError("is in use by another training run.", file=folder, remedy=remedy) from None
    try:
        if read_step(folder) != (None if state is None else state.progress.step):
            remedy = "Continue that run with --resume, or choose another --output."
            raise UsageError("has been changed by another training run in the meantime.", file=folder, remedy=remedy)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # no other run can hold it without waiting
        held.close()
        with suppress(OSError):  # it is empty if nothing was started
            folder.rmdir()


@contextmanager
def discard_unless_begun(folder: Path, progress: Progress) -> Iterator[None]:
    """Remove the files of a new run if a user's mistake or a full disk ends it before its first step.

    The corrected command can then use the same folder.
    """
    try:
        yield
    except (DataError, StorageError, UsageError):
        if progress.step == 0:
            for name in (LAST, TENSORBOARD):
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / LOG).unlink(missing_ok=True)
        raise
