"""The folder of a training run: its path, its contents, and its lock."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from vsezoo.errors import CheckpointError, DataError, StorageError, UsageError, explain_system
from vsezoo.storage.checkpoint_layout import BEST, CONFIG
from vsezoo.storage.folders import find_folder, remove_leftovers
from vsezoo.training.layout import LAST, LOCK, LOG, TENSORBOARD
from vsezoo.training.state import ANEW, Progress, State, has_state, read_state, read_step


def choose_output(model: str, data: str) -> Path:
    """Return the default folder of a run."""
    return Path("runs") / f"{model}-{Path(data).absolute().name}"


def find_run(folder: Path, resume: bool) -> State | None:
    """Return the state to resume from; refuse to overwrite a run."""
    if folder.exists() and not folder.is_dir():
        raise UsageError("is a file, not a folder.", file=folder, remedy="Choose another --output.")
    held = [name for name in (LAST, BEST, LOG, CONFIG) if find_folder(folder / name).exists()]
    if held and not resume:
        raise UsageError(
            f"already contains a run ({', '.join(held)}).",
            file=folder,
            remedy="Continue it with --resume, choose another --output, or remove the folder.",
        )
    if resume:
        for name in (LAST, BEST):
            remove_leftovers(folder / name)
        if has_state(folder):
            return read_state(folder)
        if BEST in held:
            problem = f"contains {BEST}/ but no {LAST}/, so there is nothing to resume from."
            raise CheckpointError(problem, file=folder, remedy=ANEW)
    return None  # a new run, or one that was killed before its first save


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
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        remedy = "Wait until it ends, or choose another --output."
        raise UsageError("is in use by another training run.", file=folder, remedy=remedy) from None
    except NotImplementedError:  # a file system without locks
        yield
        return
    except OSError as error:
        reason, remedy = explain_system(error)
        raise StorageError(f"cannot be written: {reason}.", file=folder, remedy=remedy) from error
    try:
        if read_step(folder) != (None if state is None else state.progress.step):
            remedy = "Continue that run with --resume, or choose another --output."
            raise UsageError("has been changed by another training run in the meantime.", file=folder, remedy=remedy)
        yield
    finally:
        (folder / LOCK).unlink(missing_ok=True)  # no other run can hold it without waiting
        lock.release()
        with suppress(OSError):  # it is empty if nothing was started
            folder.rmdir()


@contextmanager
def discard_unless_begun(folder: Path, progress: Progress) -> Iterator[None]:
    """Remove the files of a new run if a user's mistake ends it before its first step.

    The corrected command can then use the same folder.
    """
    try:
        yield
    except (DataError, UsageError):
        if progress.step == 0:
            for name in (LAST, TENSORBOARD):
                shutil.rmtree(folder / name, ignore_errors=True)
            (folder / LOG).unlink(missing_ok=True)
        raise
