"""What is told of a training as it goes: to a log file, to TensorBoard, to a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from torch.utils.tensorboard import SummaryWriter

from vsezoo.evaluation.report import Evaluation
from vsezoo.recipe import Recipe
from vsezoo.training.state import Place

LOG, TENSORBOARD = "log.jsonl", "tensorboard"


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step, as logged."""

    step: int
    epoch: int  # counted from 1
    loss: float
    learning_rate: float
    grad_norm: float  # before clipping
    parts: Mapping[str, float] = field(default_factory=dict)


class Observer:
    """Is told of a training; every method may be left as it is."""

    def begin(self, recipe: Recipe, steps_per_epoch: int, place: Place) -> None:
        """A training begins, or goes on from `place`."""

    def step(self, place: Place) -> None:
        """A step is done."""

    def record(self, record: StepRecord) -> None:
        """A step is done whose figures are known (every tenth)."""

    def validation(self, place: Place, evaluation: Evaluation, score: float, best: bool) -> None:
        """The dev split has been evaluated; `best` tells whether it became the best checkpoint."""

    def warning(self, text: str) -> None:
        """Something that the user should know."""

    def end(self, evaluation: Evaluation) -> None:
        """The training is over and its best checkpoint has been evaluated."""

    def close(self) -> None:
        """Nothing more will be told."""


class RunLog(Observer):
    """Writes `log.jsonl` and TensorBoard's files into the run's folder.

    Args:
        output: the run's folder.
        size: bytes of the log to keep: what was written after the state that a run resumes from is cut off.
        step: the step of that state; TensorBoard hides what it has of later ones.
    """

    def __init__(self, output: Path, size: int = 0, step: int = 0) -> None:
        output.mkdir(parents=True, exist_ok=True)
        path = output / LOG
        path.touch()
        self._file: IO[bytes] = path.open("r+b")
        self._file.truncate(size)
        self._file.seek(size)
        self._board = SummaryWriter(str(output / TENSORBOARD), purge_step=step or None)

    @property
    def size(self) -> int:
        """Bytes in the log, all of them handed to the operating system."""
        return self._file.tell()

    def begin(self, recipe: Recipe, steps_per_epoch: int, place: Place) -> None:
        """Log the recipe at the beginning of a run."""
        if place.step == 0:
            self._write("begin", {"recipe": recipe.to_json(), "steps_per_epoch": steps_per_epoch})

    def record(self, record: StepRecord) -> None:
        """Log a step."""
        figures = {"loss": record.loss, "learning_rate": record.learning_rate, "grad_norm": record.grad_norm}
        self._write("step", {"step": record.step, "epoch": record.epoch, **figures, "parts": dict(record.parts)})
        for name, value in {**figures, **{f"loss/{part}": value for part, value in record.parts.items()}}.items():
            self._board.add_scalar(f"train/{name}", value, record.step)

    def validation(self, place: Place, evaluation: Evaluation, score: float, best: bool) -> None:
        """Log an evaluation of the dev split."""
        value = evaluation.to_json()
        self._write("validation", {"step": place.step, "epoch": place.epoch, "score": score, "best": best, **value})
        self._board_scores("dev", value, place.step)

    def warning(self, text: str) -> None:
        """Log a warning."""
        self._write("warning", {"text": text})

    def end(self, evaluation: Evaluation) -> None:
        """Log the final evaluation."""
        self._write("end", evaluation.to_json())

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._board.close()

    def _board_scores(self, split: str, value: Mapping[str, Any], step: int) -> None:
        self._board.add_scalar(f"{split}/rsum", value["rsum"], step)
        for direction in ("i2t", "t2i"):
            for name, figure in value[direction].items():
                self._board.add_scalar(f"{split}/{direction}/{name}", figure, step)

    def _write(self, event: str, value: Mapping[str, Any]) -> None:
        self._file.write(json.dumps({"event": event, **value}).encode() + b"\n")
        self._file.flush()
