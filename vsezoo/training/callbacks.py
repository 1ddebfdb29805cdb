"""Training callbacks: the log file, TensorBoard, and those of users."""

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
from vsezoo.storage.atomic_file import detach
from vsezoo.training.board import Board
from vsezoo.training.layout import LOG as LOG
from vsezoo.training.layout import TENSORBOARD as TENSORBOARD
from vsezoo.training.state import Progress


@dataclass(frozen=True)
class StepRecord:
    """One optimiser step, as logged."""

    step: int
    epoch: int  # counted from 1
    loss: float
    learning_rate: float
    grad_norm: float  # before clipping
    parts: Mapping[str, float] = field(default_factory=dict)


class Callback:
    """Base class of callbacks; override what you need."""

    def prepare(self, what: str, done: int, total: int) -> None:
        """Called before the first step, while captions are tokenised or images are read once."""

    def begin(self, recipe: Recipe, steps_per_epoch: int, progress: Progress) -> None:
        """Called when a run starts, or continues from `progress`."""

    def step(self, progress: Progress) -> None:
        """Called after every step."""

    def record(self, record: StepRecord) -> None:
        """Called with the values of a step, every `training.log_step` steps."""

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        """Called after an evaluation of the dev split; `best`: the model is the new best checkpoint."""

    def warning(self, text: str) -> None:
        """Called with a warning."""

    def note(self, text: str) -> None:
        """Called with information, such as the account of the data folder."""

    def end(self, evaluation: Evaluation) -> None:
        """Called after the evaluation of the best checkpoint, at the end of the run."""

    def close(self) -> None:
        """Release resources such as files. Called by the owner of the callback."""


Observer = Callback
"""The earlier name."""


CONTINUE = "Free disk space and continue with --resume, or choose another --output."


class RunLog(Callback):
    """Writes `log.jsonl` and TensorBoard files to the folder of the run.

    Args:
        output: folder of the run.
        size: bytes of the log to keep: entries after the state from which a run resumes are removed.
        step: step of that state; TensorBoard hides records of later steps.

    Raises:
        StorageError: when a file cannot be written, here and in the methods.
    """

    def __init__(self, output: Path, size: int = 0, step: int = 0) -> None:
        self._path = output / LOG
        with self._writes(CONTINUE if size else "Free disk space, or choose another --output."):
            output.mkdir(parents=True, exist_ok=True)
            detach(self._path)
            self._file: IO[bytes] = self._path.open("ab")
            self._file.truncate(min(size, self._path.stat().st_size))
            self._board = Board(output / TENSORBOARD, step)

    @property
    def size(self) -> int:
        """Size of the log in bytes, all of them passed to the operating system."""
        return self._path.stat().st_size

    def begin(self, recipe: Recipe, steps_per_epoch: int, progress: Progress) -> None:
        """Log the recipe at the start of a run."""
        if progress.step == 0:
            self._write("begin", {"recipe": recipe.to_json(), "steps_per_epoch": steps_per_epoch})

    def record(self, record: StepRecord) -> None:
        """Log a step."""
        figures = {"loss": record.loss, "learning_rate": record.learning_rate, "grad_norm": record.grad_norm}
        self._write("step", {"step": record.step, "epoch": record.epoch, **figures, "parts": dict(record.parts)})
        figures |= {f"loss/{part}": value for part, value in record.parts.items()}
        self._plot("train", figures, record.step)

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        """Log an evaluation of the dev split."""
        value = evaluation.to_json()
        self._write(
            "validation", {"step": progress.step, "epoch": progress.epoch + 1, "score": score, "best": best, **value}
        )
        recalls = {f"{way}/{name}": figure for way in ("i2t", "t2i") for name, figure in value[way].items()}
        self._plot("dev", {"rsum": value["rsum"], **recalls}, progress.step)

    def warning(self, text: str) -> None:
        """Log a warning."""
        self._write("warning", {"text": text})

    def note(self, text: str) -> None:
        """Log information."""
        self._write("note", {"text": text})

    def end(self, evaluation: Evaluation) -> None:
        """Log the final evaluation."""
        self._write("end", evaluation.to_json())

    def close(self) -> None:
        """Close the files."""
        with suppress(OSError):  # write errors have been reported already
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
    def _writes(self, remedy: str = CONTINUE) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot be written: {error.strerror}.",
                file=error.filename or self._path,
                remedy=remedy,
            ) from error
