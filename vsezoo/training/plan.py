"""The plan of a run: from a recipe, or from the state of a stopped run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vsezoo.data.lookup import as_folder, find_source
from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.errors import UnknownNameError, UsageError, require_name
from vsezoo.evaluation.metrics import CRITERIA
from vsezoo.parts import change_recipe, expand_parts, load_recipe
from vsezoo.recipe import Recipe
from vsezoo.recipe.file import is_recipe_file
from vsezoo.training.run_folder import choose_output, find_run
from vsezoo.training.state import ANEW, Progress, State

DEFAULT_DATA = "shapes"
CHOICES = ("full_dev", "use_restval", "on_bad_image")
"""Options for opening the data that a resumed run keeps."""

LEAVE_OUT = f"Remove it: a resumed run keeps the stored value. {ANEW}"


@dataclass(frozen=True)
class RunOptions:
    """Options of a run besides model and data.

    Attributes:
        output: folder of the run; None: `runs/MODEL-DATA`.
        resume: continue the run in `output`; a run without a saved state starts again.
        init: a checkpoint whose weights and vocabulary initialise the model; None: none.
        device: `auto`, `cpu`, `cuda`, …
        workers: data loader workers; 0 reads in the main process.
        save_step: steps between two saves of the state inside an epoch; 0: only with validations and epochs.
        opening: options for opening the splits.
    """

    output: Path | None = None
    resume: bool = False
    init: str | Path | None = None
    device: str = "auto"
    workers: int = 0
    save_step: int = 200
    opening: OpenOptions = DEFAULT_OPTIONS


@dataclass(frozen=True)
class RunPlan:
    """The plan of a run.

    Attributes:
        recipe: recipe with overrides and settings; the data determine the rest.
        data: a registered name or a folder.
        folder: folder of the run.
        options: options of the run. A resumed run opens the data as before.
        state: state of the run to resume; None for a new run.
        progress: where it starts.
    """

    recipe: Recipe
    data: str
    folder: Path
    options: RunOptions
    state: State | None = None
    progress: Progress = field(default_factory=Progress)


def plan_run(
    model: str | Path, data: str | None, settings: Mapping[str, Any], options: RunOptions, *, overrides: bool = True
) -> RunPlan:
    """Plan a run, before any data are read; see `vsezoo.train` for the arguments.

    Raises:
        UsageError: for a folder that already contains a run, or arguments that contradict the run to resume.
    """
    name = _find_name(model, options.resume)
    folder = options.output if options.output is not None else choose_output(name, data or DEFAULT_DATA)
    root = options.opening.root
    opening = replace(options.opening, root=None if root is None else root.resolve())
    state = find_run(folder, options.resume)
    if state is None:
        data = data or DEFAULT_DATA
        plan = RunPlan(plan_recipe(model, data, settings, overrides=overrides), data, folder, options)
    else:
        if options.init is not None:
            raise UsageError("--init is only for a new run.", file=folder, remedy=LEAVE_OUT)
        recipe = resume_recipe(folder, state, name, settings)
        data, opening = resume_data(folder, state, data, opening)
        plan = RunPlan(recipe, data, folder, options, state, state.progress)
    require_name("selection criterion", plan.recipe.training.criterion, CRITERIA)
    return replace(plan, options=replace(options, opening=opening))


def _find_name(model: str | Path, resume: bool) -> str:
    """Return the name of a recipe; a resumed run has its own recipe, so that the name is enough."""
    try:
        return load_recipe(model).name
    except UnknownNameError:
        if resume and not is_recipe_file(model):
            return str(model)
        raise


def plan_recipe(model: str | Path, data: str, settings: Mapping[str, Any], *, overrides: bool = True) -> Recipe:
    """Return the recipe with its overrides for the data set, then with the user's settings."""
    recipe = load_recipe(model)
    source = find_source(data)
    if overrides:
        recipe = recipe.for_data(source.name)
    return change_recipe(recipe, settings)


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
        raise UsageError(problem, file=folder, remedy=f"Use at least that many for --num-epochs. {ANEW}")
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
    return data or stored, replace(begun, root=options.root or begun.root)
