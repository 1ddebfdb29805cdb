"""A callback that keeps what it is called with; no tests in here."""

from __future__ import annotations

from vsezoo.evaluation.report import Evaluation
from vsezoo.training.callbacks import Callback, StepRecord
from vsezoo.training.state import Progress


class Witness(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []
        self.validations: list[tuple[int, float, bool]] = []
        self.warnings: list[str] = []

    def record(self, record: StepRecord) -> None:
        self.records.append(record)

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        self.validations.append((progress.step, score, best))

    def warning(self, text: str) -> None:
        self.warnings.append(text)
