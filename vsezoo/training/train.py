"""Train a model on a data set: prepare all that the loop needs, go through it, and evaluate what came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vsezoo import registry
from vsezoo.checkpoints.opened import Checkpoint
from vsezoo.construction import build_loss, build_model
from vsezoo.data.lookup import locate, open_data
from vsezoo.data.precomputed.feature_record import compare_extraction
from vsezoo.data.source import OpenOptions
from vsezoo.errors import UsageError, require_name
from vsezoo.evaluation.metrics import CRITERIA
from vsezoo.evaluation.report import Evaluation
from vsezoo.interfaces import PairDataset
from vsezoo.parts import accepted_kinds, load_text_encoder, resolve_recipe
from vsezoo.storage.checkpoint_layout import BEST, METRICS
from vsezoo.training.batches import TokenTable
from vsezoo.training.callbacks import Callback, RunLog
from vsezoo.training.loop import Loop, evaluate_split
from vsezoo.training.plan import (
    CHOICES,
    DEFAULT_DATA,
    LEAVE_OUT,
    choose_output,
    discard_unless_begun,
    find_run,
    hold_run,
    plan_recipe,
    resume_data,
    resume_recipe,
)
from vsezoo.training.preparation import ProgressPairs, digest_captions, list_warnings, open_init, tokenize
from vsezoo.training.runtime import Runtime
from vsezoo.training.splits import Split, describe_skipped, open_test, require_one_width
from vsezoo.training.state import Progress, State, restore_tensors, seed_all


@dataclass(frozen=True)
class TrainingResult:
    """What a training run left.

    Attributes:
        checkpoint: the folder of the best checkpoint.
        evaluation: of that checkpoint on the test split (on dev where there is no test split).
    """

    checkpoint: Path
    evaluation: Evaluation


Training = TrainingResult
"""The earlier name."""


def train(
    model: str,
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
        model: a registered recipe.
        data: a registered data set or a folder; None: `shapes`, or on resume that of the run.
        data_root: the folder that holds the data set's folder; None: `$VSEZOO_DATA`, then `./data`.
        output: the run's folder; None: `runs/MODEL-DATA`.
        resume: go on where the run in `output` stopped; a run that saved no state yet begins anew.
        init: a checkpoint whose weights and vocabulary the model begins with, as `load` takes it; None: none.
        settings: changes to the recipe by dotted names, such as `{"loss.margin": 0.1}`.
        overrides: apply what the recipe changes for this data set.
        device: `auto`, `cpu`, `cuda`, …
        workers: processes that read batches ahead; 0 reads in this one, which is enough for features.
        save_step: steps between two saves of the state inside an epoch; 0: only with validations and epochs.
        full_dev: choose by the whole dev split, not its first 1,000 images as the original codes do.
        use_restval: train on the images that Karpathy's split of COCO calls restval, too.
        on_bad_image: "error" stops at a picture that cannot be read, "skip" leaves it and its captions out.
        callbacks: called in the main process as the run goes, after its own log.
        observers: the earlier name of `callbacks`.

    Raises:
        VsezooError: for any mistake or mishap that the user can mend.
    """
    callbacks = [*callbacks, *observers]
    name = registry.find("models", model).load().name
    folder = Path(output) if output is not None else choose_output(name, data)
    data = None if data is None else str(data)
    state = find_run(folder, resume)
    settings = dict(settings or {})
    root = None if data_root is None else Path(data_root).resolve()
    options = OpenOptions(root, full_dev, use_restval, on_bad_image)
    if state is None:
        data = data or DEFAULT_DATA
        recipe = plan_recipe(model, data, settings, overrides=overrides)
    else:
        if init is not None:
            raise UsageError("--init is for the beginning of a training.", file=folder, remedy=LEAVE_OUT)
        recipe = resume_recipe(folder, state, name, settings)
        data, options = resume_data(folder, state, data, options)
        if state.progress.complete:
            return TrainingResult(folder / BEST, read_evaluation(folder / BEST))
    require_name("selection criterion", recipe.training.criterion, CRITERIA)
    runtime = Runtime(device, recipe.training.precision)
    seed_all(recipe.training.seed)

    kinds = accepted_kinds(recipe)
    train_data = open_data(data, "train", kinds, options)
    dev_data = open_data(data, "dev", kinds, options)
    test_data, absence = open_test(data, kinds, options)
    require_one_width(train_data, dev_data, *([test_data] if test_data else []))
    recipe = resolve_recipe(recipe, train_data)
    begun_from = open_init(init, state, recipe)
    if begun_from is None:
        tokenizer = load_text_encoder(recipe).make_tokenizer(recipe.text_encoder.options)
    else:
        tokenizer = begun_from.model.tokenizer
    all_dev = open_data(data, "dev", kinds, replace(options, full_dev=True)).captions
    fit = begun_from is None
    train_split, dev_split = tokenize(recipe, tokenizer, train_data, dev_data, all_dev, callbacks, fit=fit)
    joint, loss = build_model(recipe, tokenizer), build_loss(recipe, tokenizer)
    joint.to(runtime.device)  # before anything goes through a backbone
    loss.to(runtime.device)
    if state is None:
        if begun_from is None:
            joint.load_pretrained()
            joint.image_encoder.fit(ProgressPairs(train_data, callbacks))
        else:
            begun_from.copy_into(joint, loss)
    run = {
        "recipe": recipe.to_json(),
        "data": locate(data),
        "data_root": None if options.root is None else str(options.root),
        **{name: getattr(options, name) for name in CHOICES},
        "init": None if begun_from is None else begun_from.reference,
        "captions_sha256": digest_captions(train_split, tokenizer),
    }
    if state is not None and run["captions_sha256"] != state.run["captions_sha256"]:
        raise UsageError(
            f"the captions of {data!r} are not those that the run was started with.",
            file=folder,
            remedy="Put them back as they were, or train anew with another --output.",
        )
    progress = Progress() if state is None else state.progress
    runtime.wait()  # every process has looked at the folder before one writes into it
    with ExitStack() as stack:
        stack.callback(runtime.close)
        if runtime.is_main:
            stack.enter_context(hold_run(folder, state))
            if state is None:
                stack.enter_context(discard_unless_begun(folder, progress))
        log = None
        if runtime.is_main:
            log = stack.enter_context(_open_log(folder, state))
        loop = Loop(
            joint, loss, train_split, dev_split, runtime, folder, run, progress, log, callbacks, workers, save_step
        )
        if state is None:
            loop.save()  # of a run that is killed from here on, the state is there
        else:
            restore_tensors(state, loop.modules, loop.optimizer)
        if progress.step == 0:
            loop.note(train_data.account.get("summary", ""))
            others = "" if begun_from is None else compare_extraction(begun_from.data, train_data)
            for doubt in (absence, *describe_skipped(train_data, dev_data, test_data), *list_warnings(recipe), others):
                loop.warn(doubt)
        loop.start()
        evaluation = None
        if runtime.is_main:
            evaluation = _finish(loop, folder, test_data)
        runtime.wait()
    if evaluation is None:
        evaluation = read_evaluation(folder / BEST)
    return TrainingResult(folder / BEST, evaluation)


def read_evaluation(folder: Path) -> Evaluation:
    """Read the evaluation that a checkpoint holds."""
    return Evaluation.from_json(Checkpoint.open(folder).evaluation(), folder / METRICS)


@contextmanager
def _open_log(folder: Path, state: State | None) -> Iterator[RunLog]:
    log = RunLog(folder) if state is None else RunLog(folder, state.run["log_size"], state.progress.step)
    try:
        yield log
    finally:
        log.close()


def _finish(loop: Loop, folder: Path, test: PairDataset | None) -> Evaluation:
    """Evaluate the best checkpoint on the test split, and store the figures in it."""
    checkpoint = Checkpoint.open(folder / BEST)
    best = checkpoint.model(loop.runtime.device)
    split = loop.dev if test is None else Split(test, TokenTable(best.tokenizer.encode(test.captions)))
    loop.save_best(best, checkpoint.loss(), evaluate_split(best, split))
    evaluation = read_evaluation(folder / BEST)
    for callback in loop.callbacks:
        callback.end(evaluation)
    loop.progress.complete = True
    loop.save()
    return evaluation
