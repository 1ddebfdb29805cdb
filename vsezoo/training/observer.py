"""What is told of a training as it goes: to a log file, to TensorBoard, to a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from vsezoo.errors import StorageError
from vsezoo.evaluation.report import Evaluation
from vsezoo.recipe import Recipe
from vsezoo.training.board import Board
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

    def prepare(self, what: str, done: int, total: int) -> None:
        """So many have been gone through before the training begins: captions cut into words, images read once."""

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

    Raises:
        StorageError: when a file cannot be written, here and in the methods.
    """

    def __init__(self, output: Path, size: int = 0, step: int = 0) -> None:
        self._path = output / LOG
        with self._writes():
            output.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = self._path.open("ab")
            self._file.truncate(min(size, self._path.stat().st_size))
            self._board = Board(output / TENSORBOARD, step)

    @property
    def size(self) -> int:
        """Bytes in the log, all of them handed to the operating system."""
        return self._path.stat().st_size

    def begin(self, recipe: Recipe, steps_per_epoch: int, place: Place) -> None:
        """Log the recipe at the beginning of a run."""
        if place.step == 0:
            self._write("begin", {"recipe": recipe.to_json(), "steps_per_epoch": steps_per_epoch})

    def record(self, record: StepRecord) -> None:
        """Log a step."""
        figures = {"loss": record.loss, "learning_rate": record.learning_rate, "grad_norm": record.grad_norm}
        self._write("step", {"step": record.step, "epoch": record.epoch, **figures, "parts": dict(record.parts)})
        figures |= {f"loss/{part}": value for part, value in record.parts.items()}
        self._plot("train", figures, record.step)

    def validation(self, place: Place, evaluation: Evaluation, score: float, best: bool) -> None:
        """Log an evaluation of the dev split."""
        value = evaluation.to_json()
        self._write("validation", {"step": place.step, "epoch": place.epoch + 1, "score": score, "best": best, **value})
        recalls = {f"{way}/{name}": figure for way in ("i2t", "t2i") for name, figure in value[way].items()}
        self._plot("dev", {"rsum": value["rsum"], **recalls}, place.step)

    def warning(self, text: str) -> None:
        """Log a warning."""
        self._write("warning", {"text": text})

    def end(self, evaluation: Evaluation) -> None:
        """Log the final evaluation."""
        self._write("end", evaluation.to_json())

    def close(self) -> None:
        """Close the files."""
        with suppress(OSError):  # what could not be written has been told already
            self._file.close()
        self._board.close()

    def _write(self, event: str, value: Mapping[str, Any]) -> None:
        with self._writes():
            self._file.write(json.dumps({"event": event, **value}).encode() + b"\n")
            self._file.flush()

    def _plot(self, group: str, scalars: Mapping[str, float], step: int) -> None:
        with self._writes():
            self._board.write(step, {f"{group}/{name}": value for name, value in scalars.items()})

    @contextmanager
    def _writes(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot be written: {error.strerror}.",
                file=error.filename or self._path,
                remedy="Free space on the disk and go on with --resume, or choose another --output.",
            ) from error
