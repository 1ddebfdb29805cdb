"""The training runs in a folder: their state, best score and the time that is left. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vsezoo.errors import CheckpointError, DataError
from vsezoo.storage.atomic_folder import find_folder
from vsezoo.storage.checkpoint_layout import BEST, METRICS
from vsezoo.storage.json_file import read_object
from vsezoo.storage.lock import BusyError, hold_lock
from vsezoo.storage.plain_file import require_path
from vsezoo.training.board import read_pace
from vsezoo.training.history import RECIPE, read_history
from vsezoo.training.layout import LAST, LOCK, LOG, STATE, TENSORBOARD
from vsezoo.training.state_file import read_state_file

FAILURE = "failure.txt"
"""Why a run of a sweep ended, in its folder, until it is tried again."""
PRUNED = "pruned.txt"
"""Why a trial of a search was ended early, in the folder of its run."""


@dataclass(frozen=True)
class RunSummary:
    """A training run, from the files in its folder.

    Attributes:
        folder: of the run.
        state: "complete"; "running": a process is training it; "failed" in a sweep; "pruned" by a search; "stopped":
            `--resume` continues it.
        model: its recipe.
        seed: `training.seed`; None: not known.
        epoch: epochs done.
        num_epochs: epochs in all; None: not known.
        criterion: what the best checkpoint is chosen by.
        best_score: of the best checkpoint, by that criterion, on the dev split; None: none yet.
        split: what `rsum` is of.
        rsum: of the best checkpoint of a complete run; None: not complete.
        seconds_left: of a running one, without the last evaluation; None: not running, or not known yet.
    """

    folder: Path
    state: str
    model: str
    seed: int | None
    epoch: int
    num_epochs: int | None
    criterion: str
    best_score: float | None
    split: str
    rsum: float | None
    seconds_left: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the summary as JSON values."""
        return {**asdict(self), "folder": str(self.folder)}


def list_runs(folder: Path) -> list[RunSummary]:
    """Return the runs in a folder and the folders in it, by path; the folder may be a run itself.

    Raises:
        DataError: if it is not a folder.
    """
    remedy = "Give the folder that runs are in, such as runs."
    require_path(folder, remedy)
    if not folder.is_dir():
        raise DataError("is not a folder.", file=folder, remedy=remedy)
    return [summarize(run) for run in _find_runs(folder)]


def is_complete(folder: Path) -> bool:
    """Return whether a run has done all its epochs and its last evaluation."""
    return bool(_read_place(folder).get("complete"))


def is_running(folder: Path) -> bool:
    """Return whether a process is training the run."""
    if not (folder / LOCK).exists():
        return False
    try:
        with hold_lock(folder / LOCK):
            return False
    except (BusyError, OSError):
        return True


def summarize(folder: Path) -> RunSummary:
    """Return what the files of a run say; what is damaged or absent counts as not known."""
    history = read_history(folder)
    begin, log = history.begin, history.validations
    place = _read_place(folder)
    recipe = begin.get("recipe") or _read_json(folder / BEST / "config.json").get("recipe") or {}
    if not RECIPE.fits(recipe) or not isinstance(recipe.get("training", {}), dict):
        recipe = {}
    training = recipe.get("training", {})
    state = "stopped"
    if place.get("complete"):
        state = "complete"
    elif is_running(folder):
        state = "running"
    elif (folder / PRUNED).exists():
        state = "pruned"
    elif (folder / FAILURE).exists():
        state = "failed"
    figures = _read_json(find_folder(folder / BEST) / METRICS) if state == "complete" else {}
    return RunSummary(
        folder,
        state,
        str(recipe.get("name", "")),
        training.get("seed"),
        max([place.get("epoch", 0), *(item["epoch"] - 1 for item in log)]),
        training.get("num_epochs"),
        str(training.get("criterion", "")),
        max((item["score"] for item in log if item.get("best")), default=place.get("best_score")),
        str(figures.get("split", "")),
        figures.get("rsum"),
        _estimate(folder, begin) if state == "running" else None,
    )


def _find_runs(folder: Path) -> Iterator[Path]:
    if any((find_folder(folder / name)).exists() for name in (LAST, LOG, FAILURE)):
        yield folder
        return
    for inner in sorted(item for item in folder.iterdir() if item.is_dir() and not item.is_symlink()):
        yield from _find_runs(inner)


def _read_place(folder: Path) -> Mapping[str, Any]:
    try:
        place: dict[str, Any] = read_state_file(find_folder(folder / LAST) / STATE)["place"]
    except CheckpointError:
        return {}
    return place


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return read_object(file)
    except CheckpointError:
        return {}


def _estimate(folder: Path, begin: Mapping[str, Any]) -> float | None:
    """Return the seconds that the remaining steps take at the pace since the run was started or resumed."""
    try:
        total = begin["steps_per_epoch"] * begin["recipe"]["training"]["num_epochs"]
        pace = read_pace(folder / TENSORBOARD)
    except (KeyError, TypeError, OSError):
        return None
    return None if pace is None else max(0.0, (total - pace[0]) * pace[1])
