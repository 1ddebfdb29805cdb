"""Whether a run is resumed, and from what: the state in its folder, and the recipe and data that the state fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vsezoo.data.lookup import as_folder, find_source
from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.errors import CheckpointError, UsageError
from vsezoo.parts import expand_parts
from vsezoo.recipe import Recipe
from vsezoo.storage.atomic_folder import find_folder
from vsezoo.storage.checkpoint_layout import BEST, CONFIG
from vsezoo.storage.leftovers import remove_leftovers
from vsezoo.training.layout import LAST, LOCK, LOG
from vsezoo.training.state import State, has_state, read_state
from vsezoo.training.state_file import START_AGAIN

CHOICES = ("full_dev", "use_restval", "on_bad_image")
"""Options for opening the data that a resumed run keeps."""

LEAVE_OUT = f"Remove it: a resumed run keeps the stored value. {START_AGAIN}"


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
        if not is_begun(folder):
            raise UsageError(
                "contains no training run to continue.",
                file=folder,
                remedy="Check --output, or leave out --resume to start a new run.",
            )
        for name in (LAST, BEST):
            remove_leftovers(folder / name)
        if has_state(folder):
            return read_state(folder)
        if BEST in held:
            problem = f"contains {BEST}/ but no {LAST}/, so there is nothing to resume from."
            raise CheckpointError(problem, file=folder, remedy=START_AGAIN)
    return None  # a new run, or one that was killed before its first save


def is_begun(folder: Path) -> bool:
    """Return whether a run was started in a folder, even if nothing was saved yet."""
    return any(find_folder(folder / name).exists() for name in (LAST, BEST, LOG, LOCK))


def resume_recipe(folder: Path, state: State, model: str, settings: Mapping[str, Any]) -> Recipe:
    """Return the recipe of a stopped run; of new settings, only the number of epochs may differ.

    Raises:
        UsageError: for a run of another model, or with other settings.
    """
    stored, settings = state.run.recipe, expand_parts(settings)
    if stored.name != model:
        remedy = f"Continue it with `vsezoo train {stored.name} …`, or choose another --output."
        raise UsageError(f"contains a run of {stored.name!r}, not of {model!r}.", file=folder, remedy=remedy)
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
            remedy="With --resume only --num-epochs may change. Remove the others, or choose another --output.",
        )
    if recipe.training.num_epochs < state.progress.epoch:
        problem = f"the run has already done {state.progress.epoch} epochs."
        raise UsageError(problem, file=folder, remedy=f"Use at least that many for --num-epochs. {START_AGAIN}")
    state.progress.complete = state.progress.complete and recipe == stored
    return recipe


def resume_data(folder: Path, state: State, data: str | None, options: OpenOptions) -> tuple[str, OpenOptions]:
    """Return the data of a run and the options for opening them.

    A folder may have been moved or renamed: its captions are compared.
    """
    stored, begun = state.run.data, state.run.opening
    moved = data is not None and all(map(as_folder, (data, stored)))
    if data is not None and not moved and find_source(data).name != find_source(stored).name:
        raise UsageError(f"the run was started on {stored!r}, not on {data!r}.", file=folder, remedy=LEAVE_OUT)
    for name in CHOICES:
        if getattr(options, name) not in (getattr(begun, name), getattr(DEFAULT_OPTIONS, name)):
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"the run was started without {flag}.", file=folder, remedy=LEAVE_OUT)
    return data if data and moved else stored, replace(begun, root=options.root or begun.root)
