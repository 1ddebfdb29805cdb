"""An observer that keeps what it is told; no tests in here."""

from __future__ import annotations

from vsezoo.evaluation.report import Evaluation
from vsezoo.training.observer import Observer, StepRecord
from vsezoo.training.state import Place


class Witness(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []
        self.validations: list[tuple[int, float, bool]] = []
        self.warnings: list[str] = []

    def record(self, record: StepRecord) -> None:
        self.records.append(record)

    def validation(self, place: Place, evaluation: Evaluation, score: float, best: bool) -> None:
        self.validations.append((place.step, score, best))

    def warning(self, text: str) -> None:
        self.warnings.append(text)
