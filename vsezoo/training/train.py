"""Train a model on a data set: plan the run, open the splits, build the model, run the loop."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.data.source import OpenOptions
from vsezoo.errors import TrainingError, UsageError, report_system_errors
from vsezoo.evaluation.report import Evaluation
from vsezoo.inputs import PairDataset
from vsezoo.parts import accepted_kinds
from vsezoo.storage.checkpoint_layout import BEST, METRICS
from vsezoo.training.batches import TokenTable
from vsezoo.training.callbacks import Callback, RunLog
from vsezoo.training.loop import Loop
from vsezoo.training.peers import find_ended
from vsezoo.training.plan import RunOptions, RunPlan, plan_run
from vsezoo.training.preparation import Prepared, prepare
from vsezoo.training.run_folder import discard_unless_begun, hold_run
from vsezoo.training.runtime import Runtime
from vsezoo.training.splits import Split, evaluate_split, open_splits
from vsezoo.training.state import restore_tensors, seed_all

LOST = re.compile(r"closed by peer|reset by peer|gloo|nccl|timed out|store", re.IGNORECASE)
"""In the errors of torch's libraries when another process has ended."""


SETTLE = 0.2
"""Seconds after which a process that has closed its connections has ended."""


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run.

    Attributes:
        checkpoint: the folder of the best checkpoint.
        evaluation: evaluation of that checkpoint on the test split (on dev if there is no test split).
    """

    checkpoint: Path
    evaluation: Evaluation


Training = TrainingResult
"""The earlier name."""


@report_system_errors
def train(
    model: str | Path,
    data: str | Path | None = None,
    *,
    data_root: str | Path | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    init: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    overrides: bool = True,
    device: str = "auto",
    workers: int = 0,
    save_step: int = 200,
    full_dev: bool = False,
    use_restval: bool = False,
    on_bad_image: str = "error",
    callbacks: Sequence[Callback] = (),
    observers: Sequence[Callback] = (),
) -> TrainingResult:
    """Train a model and evaluate its best checkpoint.

    Args:
        model: a registered model or a recipe file.
        data: a registered data set or a folder; None: `shapes`, or on resume that of the run.
        data_root: the folder that contains the data set's folder; None: `$VSEZOO_DATA`, then `./data`.
        output: folder of the run; None: `runs/MODEL-DATA`.
        resume: continue the run in `output`; a run without a saved state starts again.
        init: a checkpoint, as `load` takes it, whose weights and vocabulary initialise the model; None: none.
        settings: changes to the recipe by dotted names, such as `{"loss.margin": 0.1}`.
        overrides: apply the overrides of the recipe for this data set.
        device: `auto`, `cpu`, `cuda`, …
        workers: data loader workers; 0 reads in the main process, which is enough for features.
        save_step: steps between two saves of the state inside an epoch; 0: only with validations and epochs.
        full_dev: choose the best checkpoint by the whole dev split, not its first 1,000 images as the original codes
            do.
        use_restval: also train on the images that Karpathy's split of COCO calls restval.
        on_bad_image: "error" stops at a picture that cannot be read, "skip" skips it and its captions.
        callbacks: called in the main process during the run, after its own log.
        observers: the earlier name of `callbacks`.

    Raises:
        VsezooError: for any error that the user can fix.
    """
    options = RunOptions(
        None if output is None else Path(output),
        resume,
        init,
        device,
        workers,
        save_step,
        OpenOptions(None if data_root is None else Path(data_root), full_dev, use_restval, on_bad_image),
    )
    data = None if data is None else str(data)
    return start_run(model, data, settings or {}, options, overrides=overrides, callbacks=[*callbacks, *observers])


def start_run(
    model: str | Path,
    data: str | None,
    settings: Mapping[str, Any],
    options: RunOptions,
    *,
    overrides: bool = True,
    callbacks: Sequence[Callback] = (),
) -> TrainingResult:
    """Plan a run, open its splits, build its model, and train it; see `train`."""
    plan = plan_run(model, data, settings, options, overrides=overrides)
    best = plan.folder / BEST
    if plan.progress.complete:
        return TrainingResult(best, read_evaluation(best))
    with closing(Runtime(options.device, plan.recipe.training.precision)) as runtime, explain_lost(runtime, plan):
        require_same_world(plan, runtime)
        seed_all(plan.recipe.training.seed)
        splits = open_splits(plan.data, accepted_kinds(plan.recipe), plan.options.opening)
        prepared = prepare(plan, splits, runtime.device, callbacks)
        runtime.wait()  # every process has checked the folder before one writes to it
        with _open_loop(plan, prepared, runtime, callbacks) as loop:
            loop.start()
            if runtime.is_main:
                _finish(loop, best, splits.test)
            runtime.wait()
    return TrainingResult(best, read_evaluation(best))


def require_same_world(plan: RunPlan, runtime: Runtime) -> None:
    """Refuse to resume a run with another number of processes: its batches would be shared and added up differently.

    Raises:
        UsageError: names both numbers.
    """
    begun = None if plan.state is None else plan.state.run.world_size
    if begun not in (None, runtime.world_size):
        start = f"torchrun --nproc-per-node {begun} -m vsezoo train" if begun != 1 else "vsezoo train"
        raise UsageError(
            f"the run was started with {begun:,} process{'es' * (begun != 1)}, not with {runtime.world_size:,}: the "
            "numbers would differ.",
            file=plan.folder,
            remedy=f"Continue it with: {start} {plan.recipe.name} --output {plan.folder} --resume",
        )


@contextmanager
def explain_lost(runtime: Runtime, plan: RunPlan) -> Iterator[None]:
    """Report a process of the run that has ended, which the others notice when they wait for it.

    Raises:
        TrainingError: instead of the errors of torch's libraries.
    """
    try:
        yield
    except RuntimeError as error:
        if runtime.world_size == 1 or not LOST.search(str(error)):
            raise
        time.sleep(SETTLE)
        ended = " and ".join(f"rank {rank}" for rank in find_ended(runtime.peers))
        raise TrainingError(
            f"{ended or 'another process of the run'} has ended, so rank {runtime.rank} of {runtime.world_size} "
            "cannot continue; its own message, if it gave one, is above.",
            file=plan.folder,
            remedy="The last saved state is kept: repeat the command with --resume and as many processes.",
        ) from None


def read_evaluation(folder: Path) -> Evaluation:
    """Read the evaluation stored in a checkpoint."""
    return Evaluation.from_json(Checkpoint.open(folder).evaluation(), folder / METRICS)


@contextmanager
def _open_loop(plan: RunPlan, prepared: Prepared, runtime: Runtime, callbacks: Sequence[Callback]) -> Iterator[Loop]:
    """Lock the folder of the run, and set the loop to its start or to the saved state."""
    state, progress = plan.state, plan.progress
    with ExitStack() as stack:
        log = None
        if runtime.is_main:
            stack.enter_context(hold_run(plan.folder, state))
            if state is None:
                stack.enter_context(discard_unless_begun(plan.folder, progress))
            log = RunLog(plan.folder, 0 if state is None else state.run.log_size, progress.step)
            stack.callback(log.close)
        options = plan.options
        loop = Loop(prepared, runtime, plan.folder, progress, log, callbacks, options.workers, options.save_step)
        if state is None:
            loop.save()  # a run that is killed from here on has a state
        else:
            restore_tensors(state, loop.modules, loop.optimizer)
        yield loop


def _finish(loop: Loop, folder: Path, test: PairDataset | None) -> None:
    """Evaluate the best checkpoint on the test split, and store the metrics in it."""
    checkpoint = Checkpoint.open(folder)
    best = checkpoint.model(loop.runtime.device)
    split = loop.dev if test is None else Split(test, TokenTable(best.tokenizer.encode(test.captions)))
    loop.save_best(best, checkpoint.loss(), evaluate_split(best, split))
    evaluation = read_evaluation(folder)
    for callback in loop.callbacks:
        callback.end(evaluation)
    loop.progress.complete = True
    loop.save()
