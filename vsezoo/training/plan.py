"""The plan of a run: from a recipe, or from the state of a stopped run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vsezoo.data.lookup import find_source
from vsezoo.data.source import DEFAULT_OPTIONS, OpenOptions
from vsezoo.errors import UnknownNameError, UsageError, require_name
from vsezoo.evaluation.metrics import CRITERIA
from vsezoo.parts import change_recipe, load_recipe
from vsezoo.recipe import Recipe
from vsezoo.recipe.file import is_recipe_file
from vsezoo.training.resume import LEAVE_OUT, find_run, resume_data, resume_recipe
from vsezoo.training.run_folder import choose_output
from vsezoo.training.state import Progress, State

DEFAULT_DATA = "shapes"


@dataclass(frozen=True)
class RunOptions:
    """Options of a run besides model and data.

    Attributes:
        output: folder of the run; None: `runs/MODEL-DATA`.
        resume: continue the run in `output`; one without a saved state starts again, with the data and settings given.
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
        if options.resume and data is None:
            raise UsageError(
                "has no saved state: the run was stopped before it saved one.",
                file=folder,
                remedy="Repeat its first command, with its data and settings, and --resume.",
            )
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
