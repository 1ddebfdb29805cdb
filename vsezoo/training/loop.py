"""The training loop: batches, steps, validations, saves."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vsezoo.checkpoints.checkpoint import describe_data, save_checkpoint
from vsezoo.errors import InterruptedTrainingError
from vsezoo.evaluation.metrics import score_metrics
from vsezoo.evaluation.report import Evaluation
from vsezoo.interfaces import Batch, Loss, LossOutput
from vsezoo.model import JointEmbedding
from vsezoo.storage.checkpoint_layout import BEST
from vsezoo.training.averaging import WeightAverage
from vsezoo.training.callbacks import Callback, RunLog, StepRecord
from vsezoo.training.collapse import CURE, CollapseMonitor
from vsezoo.training.feed import Feed, has_one_shape
from vsezoo.training.frozen_outputs import FrozenOutputs
from vsezoo.training.interruption import Interruption
from vsezoo.training.optimizer_step import build_optimizer, build_schedule, group_parameters
from vsezoo.training.preparation import Prepared
from vsezoo.training.replay import ReplayedStep, can_replay
from vsezoo.training.runtime import Runtime
from vsezoo.training.sampling import order_epoch, share_batches
from vsezoo.training.saved import Saved
from vsezoo.training.splits import evaluate_split
from vsezoo.training.state import Progress, save_state
from vsezoo.training.step import Step
from vsezoo.training.step_checks import require_finite


class Loop:
    """Trains a model from its current progress to the end.

    Args:
        prepared: the model, its loss and the splits.
        runtime: device, precision and processes.
        output: folder of the run.
        progress: where to start.
        log: log of the run, whose size is stored in the state; None in all processes except the main one.
        callbacks, workers: callbacks of the main process, called after the log; data loader workers.
        save_step: steps between two saves of the state inside an epoch.
    """

    def __init__(
        self,
        prepared: Prepared,
        runtime: Runtime,
        output: Path,
        progress: Progress,
        log: RunLog | None,
        callbacks: Sequence[Callback] = (),
        workers: int = 0,
        save_step: int = 200,
    ) -> None:
        self.model, self.loss = model, loss = prepared.model, prepared.loss
        self.train, self.dev, self.run, self.warnings = prepared.train, prepared.dev, prepared.run, prepared.warnings
        self.sentinel = prepared.sentinel
        self.runtime, self.output, self.progress, self.log = runtime, output, progress, log
        self.callbacks = [*([log] if log else []), *callbacks] if runtime.is_main else []
        self.save_step = save_step
        self.settings = model.recipe.training
        self.modules: dict[str, nn.Module] = {"model": model, "loss": loss}
        # Each parameter once: the original VSRN passes those of the caption head to its optimiser twice.
        self.parameters = {
            f"{prefix}.{name}": parameter
            for prefix, module in self.modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._average = WeightAverage(self.parameters, self.settings.average) if self.settings.average else None
        if self._average:
            self.modules["average"] = self._average
        scales = {f"model.{start}": scale for start, scale in model.learning_rate_scales().items()}
        scales |= {f"loss.{start}": scale for start, scale in loss.learning_rate_scales().items()}
        self.optimizer = build_optimizer(model.recipe, group_parameters(self.parameters, scales))
        self._captions = self._choose_captions()
        self._frozen = FrozenOutputs(model, self.train, self.dev) if self.settings.cache_frozen else None
        self._shown = self._frozen or prepared  # what encodes, and what it is given
        self._step = Step(model, loss, self._shown.model, runtime, self.parameters)
        encoder = self._shown.model.image_encoder
        replays = can_replay(model, loss, runtime) and has_one_shape(self._shown.train, encoder)
        self._replayed = ReplayedStep(self._step, self.modules.values(), self.warn) if replays else None
        self._feed = Feed(self._shown.train, encoder, runtime.device, workers, stored=replays)
        self._saved = Saved()
        self._monitor = CollapseMonitor(progress.records_on_plateau)
        self._interruption = Interruption()
        self._weight = 1.0  # of the loss, see `ramp_epoch`

    def start(self) -> None:
        """Train until the last epoch is done and its state is saved."""
        begins = self.progress.step == 0
        if begins:
            self.note(self.train.data.account.get("summary", ""))
        for warning in [*(self.warnings if begins else ()), *self.runtime.warnings]:
            self.warn(warning)
        self._compute_frozen()
        steps = len(self.order(0))
        self._notify(lambda callback: callback.begin(self.model.recipe, steps, self.progress))
        left_out = len(self.train.tokens) - len(self._captions)
        if begins and left_out:
            self.warn(
                f"{left_out:,} of {len(self.train.tokens):,} training captions have more than "
                f"{self.settings.max_words} words and are skipped (training.max_words)."
            )
        with self._interruption:
            while not self._is_over():
                self._train_epoch()

    def warn(self, text: str) -> None:
        """Pass a warning to the callbacks."""
        self._notify(lambda callback: callback.warning(text))

    def note(self, text: str) -> None:
        """Pass a note to the callbacks, unless it is empty."""
        if text:
            self._notify(lambda callback: callback.note(text))

    def order(self, epoch: int) -> list[np.ndarray]:
        """Return the batches of an epoch for this process, as caption indices."""
        lengths, image_of = self.train.tokens.lengths, self.train.data.image_of
        batches = order_epoch(self.settings, self._captions, lengths, image_of, epoch)
        return share_batches(batches, self.runtime.rank, self.runtime.world_size)

    def save(self) -> None:
        """Save the state, in the main process."""
        if self.runtime.is_main and self.log:
            start = time.monotonic()
            run = replace(self.run, log_size=self.log.size, world_size=self.runtime.world_size)
            save_state(self.output, self.progress, self.modules, self.optimizer, run)
            self._saved = Saved(time.monotonic(), time.monotonic() - start)

    def step(self, batch: Batch) -> tuple[LossOutput, Tensor, float]:
        """Perform one optimiser step.

        Returns:
            the loss, the norm of the gradient before clipping, and the loss if all scores were equal (NaN between
            records).
        """
        batch, first = batch.to(self.runtime.device), self.progress.step == 0
        if self._replayed:
            result = self._replayed.compute(batch, self._weight, first=first)
        else:
            self.optimizer.zero_grad(set_to_none=True)
            result = self._step.compute(batch, self._weight, first=first)
        self.optimizer.step()
        if self._average:
            self._average.update(self.progress.step + 1)
        plateau = math.nan
        if self._records(self.progress.step + 1):
            with torch.no_grad():
                plateau = float(self.loss.plateau(result.scores, *result.sides, result.batch, result.output))
        return result.output, result.norm, plateau

    def _compute_frozen(self) -> None:
        """Have the main process compute what frozen parts give, and the others find it in the cache."""
        if self._frozen is None:
            return
        if self.runtime.is_main:
            self._frozen.compute(lambda *progress: self._notify(lambda callback: callback.prepare(*progress)))
        self.runtime.wait()
        self._frozen.compute()

    def _train_epoch(self) -> None:
        """Run the rest of an epoch: steps, records, validations, saves, in this order."""
        progress, settings = self.progress, self.settings
        self._start_epoch()
        order = self.order(progress.epoch)
        schedule = build_schedule(self.model.recipe, len(order))
        seed = (settings.seed, progress.epoch, self.runtime.rank)
        for batch in self._feed.load(order[progress.batch :], seed, progress.batch):
            rate = schedule(progress.step, progress.epoch)
            for group in self.optimizer.param_groups:
                group["lr"] = rate * group["scale"]
            if progress.epoch == settings.ramp_epoch:
                self._weight = progress.batch / len(order)
            output, norm, plateau = self.step(batch)
            progress.batch += 1
            progress.step += 1
            last = progress.batch == len(order)
            validates = not last and settings.val_step > 0 and progress.step % settings.val_step == 0
            saves = validates or (not last and self.save_step > 0 and progress.step % self.save_step == 0)
            stops = self.runtime.any(self._interruption.asked)
            if self._records(progress.step) or saves or stops or last or progress.step == 1:
                require_finite(output.total, norm, progress.step, self.output)
            if self._records(progress.step):
                self._record(output, norm, plateau, rate)
            self._notify(lambda callback: callback.step(progress))
            if validates:
                self._validate(choose=settings.select_mid_epoch)
            if stops or (saves and self._saved.is_due()):
                self.save()
            if self._out_of_patience():
                return
            if stops:
                raise self._describe_stop()
        if settings.val_epoch or progress.epoch + 1 == settings.num_epochs:
            self._validate(choose=True)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        stops = self.runtime.any(self._interruption.asked)
        if stops or self._is_over() or self._saved.is_due():
            self.save()
        if stops:
            raise self._describe_stop()

    def _start_epoch(self) -> None:
        progress, self._weight = self.progress, 1.0
        self.model.train()
        self.model.start_epoch(progress.epoch)
        val_step = self.settings.val_step
        if val_step and progress.step // val_step > (progress.step - progress.batch) // val_step:
            # A validation in this epoch before the interruption: repeat its effect on the model.
            self.model.eval().train()
        self._step.encoding.start_epoch()
        self.loss.train()
        self.loss.start_epoch(progress.epoch)
        if self._replayed:
            self._replayed.start_epoch()

    def _validate(self, *, choose: bool) -> None:
        self.model.eval()
        if self.runtime.is_main:
            with self._average.applied() if self._average else nullcontext():
                self._evaluate(choose)
        self.model.train()
        self.progress.without_improvement = self.runtime.maximum(self.progress.without_improvement)

    def _evaluate(self, choose: bool) -> None:
        evaluation = evaluate_split(self._shown.model, self._shown.dev)
        score = score_metrics(evaluation.metrics, self.settings.criterion)
        best = choose and (self.progress.best_score is None or score > self.progress.best_score)
        self.progress.without_improvement = 0 if best else self.progress.without_improvement + choose
        if best:
            self.progress.best_score, self.progress.best_step = score, self.progress.step
            self.progress.best_epoch = self.progress.epoch + 1
            self.save_best(self.model, self.loss, evaluation)
        self._notify(lambda callback: callback.validation(self.progress, evaluation, score, best))

    def _is_over(self) -> bool:
        return self.progress.epoch >= self.settings.num_epochs or self._out_of_patience()

    def _out_of_patience(self) -> bool:
        return 0 < self.settings.patience <= self.progress.without_improvement

    def save_best(self, model: JointEmbedding, loss: Loss, evaluation: Evaluation) -> None:
        """Write a model and its loss as the best checkpoint of the run."""
        trained = {
            "epoch": self.progress.best_epoch,
            "step": self.progress.best_step,
            "criterion": self.settings.criterion,
            "score": self.progress.best_score,
        }
        folder = self.run.data if Path(self.run.data).is_absolute() else ""
        data = describe_data(self.train.data) | ({"sentinel": self.sentinel} if self.sentinel else {})
        save_checkpoint(self.output / BEST, model, data, trained, evaluation.to_json(), loss, data_folder=folder)

    def _record(self, output: LossOutput, norm: Tensor, plateau: float, rate: float) -> None:
        loss, progress = output.total.item(), self.progress
        parts = {name: part.item() for name, part in output.parts.items()}
        record = StepRecord(progress.step, progress.epoch + 1, loss, rate, norm.item(), parts)
        self._notify(lambda callback: callback.record(record))
        collapsed = self._monitor.update(loss, plateau)
        progress.records_on_plateau = self._monitor.in_a_row
        if collapsed:
            self.warn(CURE.format(steps=self._monitor.patience * self.settings.log_step, plateau=plateau))

    def _choose_captions(self) -> np.ndarray:
        """Return the indices of the captions that are short enough for training."""
        lengths = self.train.tokens.lengths
        if not self.settings.max_words:
            return np.arange(len(lengths))
        (marks,) = self.model.tokenizer.encode([""])  # special tokens such as <start> and <end>
        return np.flatnonzero(lengths <= self.settings.max_words + len(marks))

    def _records(self, step: int) -> bool:
        return step % self.settings.log_step == 0

    def _describe_stop(self) -> InterruptedTrainingError:
        command = ["vsezoo", "train", self.model.recipe.name, "--output", str(self.output), "--resume"]
        return InterruptedTrainingError(
            f"Stopped after step {self.progress.step}; the state is saved.",
            file=self.output,
            remedy=f"Continue with: {shlex.join(command)}",
        )

    def _notify(self, call: Callable[[Callback], None]) -> None:
        for callback in self.callbacks:
            call(callback)
