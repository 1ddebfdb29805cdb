"""What a run is to do: planned anew from a recipe, or taken up where a run stopped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from vsezoo import registry
from vsezoo.data.lookup import as_folder, find_source
from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.errors import CheckpointError, DataError, StorageError, UsageError, explain_system
from vsezoo.parts import change_recipe, expand_parts
from vsezoo.recipe import Recipe
from vsezoo.storage.checkpoint_layout import BEST, CONFIG
from vsezoo.storage.folders import find_folder, remove_leftovers
from vsezoo.training.callbacks import LOG, TENSORBOARD
from vsezoo.training.state import ANEW, LAST, Progress, State, has_state, read_state, read_step

DEFAULT_DATA = "shapes"
LOCK = ".lock"
"""Held in the folder of a run that is at work."""
CHOICES = ("full_dev", "use_restval", "on_bad_image")
"""The options of opening the data that a run keeps to."""

LEAVE_OUT = f"On resume leave it out: it is known. {ANEW}"


def choose_output(model: str, data: str | Path | None) -> Path:
    """Return the folder of a run for which none is named."""
    return Path("runs") / f"{model}-{Path(data or DEFAULT_DATA).absolute().name}"


def plan_recipe(model: str, data: str, settings: Mapping[str, Any], *, overrides: bool = True) -> Recipe:
    """Return the recipe with its overrides for the data set, then with the user's settings."""
    recipe: Recipe = registry.load("models", model)
    source = find_source(data)
    if overrides:
        recipe = recipe.for_data(source.name)
    return change_recipe(recipe, settings)


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


def resume_recipe(folder: Path, state: State, model: str, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a stopped run; of the settings that the user gives, only a new number of epochs counts.

    Raises:
        UsageError: for a run of another model, or with other settings.
    """
    stored, settings = Recipe.from_json(state.run["recipe"]), expand_parts(settings)
    if stored.name != model:
        remedy = f"Go on with `vsezoo train {stored.name} …`, or choose another --output."
        raise UsageError(f"holds a run of {stored.name!r}, not of {model!r}.", file=folder, remedy=remedy)
    recipe = stored.replace(settings)
    changed = [
        name
        for name, value in settings.items()
        if name != "training.num_epochs" and stored.replace({name: value}) != stored
    ]
    if changed:
        raise UsageError(
            f"the run was started with other values of {', '.join(changed)}.",
            file=folder,
            remedy="On resume only --num-epochs may change. Leave the others out, or train anew with another --output.",
        )
    if recipe.training.num_epochs < state.progress.epoch:
        problem = f"the run has already done {state.progress.epoch} epochs."
        raise UsageError(problem, file=folder, remedy=f"Give no fewer to --num-epochs. {ANEW}")
    state.progress.complete = state.progress.complete and recipe == stored
    return recipe


def resume_data(folder: Path, state: State, data: str | None, options: OpenOptions) -> tuple[str, OpenOptions]:
    """Return the data of a run and how it opened them.

    A folder may have moved, and have another name: its captions are compared.
    """
    stored = state.run["data"]
    moved = data is not None and all(map(as_folder, (data, stored)))
    if data is not None and not moved and find_source(data).name != find_source(stored).name:
        raise UsageError(f"the run was started on {stored!r}, not on {data!r}.", file=folder, remedy=LEAVE_OUT)
    root = options.root or (Path(state.run["data_root"]) if state.run["data_root"] else None)
    begun = {name: state.run.get(name, getattr(DEFAULT_OPTIONS, name)) for name in CHOICES}
    for name, value in begun.items():
        if getattr(options, name) not in (value, getattr(DEFAULT_OPTIONS, name)):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"the run was started without {flag}.", file=folder, remedy=LEAVE_OUT)
    return data or stored, replace(options, root=root, **begun)
