"""The run's log and TensorBoard's files."""

from __future__ import annotations

import json
import math
import os
import resource
from pathlib import Path

import processes
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from vsezoo.errors import StorageError
from vsezoo.evaluation.metrics import DirectionMetrics, Metrics, Ties
from vsezoo.evaluation.report import Evaluation
from vsezoo.training.callbacks import RunLog, StepRecord
from vsezoo.training.state import Progress


def record(step: int) -> StepRecord:
    return StepRecord(step, 1, step / 2, 0.1, 3.0, {"i2t": step / 8})


EVALUATION = Evaluation(
    Metrics(DirectionMetrics(1, 2, 3, 4, 5), DirectionMetrics(6, 7, 8, 9, 10), Ties("lower_index", 0, 0)),
    *("data", "dev", "full", [], 20, 100),
)


def read_log(output: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_bytes().splitlines()]


def read_board(output: Path) -> EventAccumulator:
    board = EventAccumulator(str(output / "tensorboard"))
    board.Reload()
    return board


def test_what_is_logged(tmp_path: Path) -> None:
    log = RunLog(tmp_path / "runs" / "new")
    log.record(record(10))
    log.validation(Progress(epoch=2, step=12), EVALUATION, 27.0, True)
    log.warning("Mind the gap.")
    assert log.size == (tmp_path / "runs/new/log.jsonl").stat().st_size  # before it is closed
    log.close()
    step, validation, warning = read_log(tmp_path / "runs" / "new")
    figures = {"loss": 5.0, "learning_rate": 0.1, "grad_norm": 3.0, "parts": {"i2t": 1.25}}
    assert step == {"event": "step", "step": 10, "epoch": 1, **figures}
    labels = {"event": "validation", "step": 12, "epoch": 3, "score": 27.0, "best": True}  # the third epoch
    assert validation == {**labels, **EVALUATION.to_json()}
    assert warning == {"event": "warning", "text": "Mind the gap."}


def test_tensorboard_reads_it(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in (10, 20):
        log.record(record(step))
    log.validation(Progress(epoch=0, step=20), EVALUATION, 27.0, True)
    board = read_board(tmp_path)  # while the training goes on
    assert [(event.step, event.value) for event in board.Scalars("train/loss")] == [(10, 5.0), (20, 10.0)]
    assert [event.value for event in board.Scalars("train/loss/i2t")] == [1.25, 2.5]
    assert [(event.step, event.value) for event in board.Scalars("dev/rsum")] == [(20, 27.0)]
    assert [event.value for event in board.Scalars("dev/t2i/MeanR")] == [10.0]
    log.close()


def test_what_came_after_the_state_is_cut_off(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.record(record(10))
    log.record(record(20))
    size = log.size
    log.record(record(30))
    log.close()
    log = RunLog(tmp_path, size, 20)
    assert log.size == size
    log.record(record(25))
    log.close()
    assert [event["step"] for event in read_log(tmp_path)] == [10, 20, 25]
    assert [event.step for event in read_board(tmp_path).Scalars("train/loss")] == [10, 20, 25]


def test_a_new_run_begins_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("old\n", encoding="utf-8")
    log = RunLog(tmp_path)
    assert log.size == 0
    log.close()


def test_a_log_that_was_lost_is_not_filled_with_zeros(tmp_path: Path) -> None:
    log = RunLog(tmp_path, size=1000, step=50)
    log.record(record(60))
    log.close()
    assert [event["step"] for event in read_log(tmp_path)] == [60]


def test_each_event_is_whole(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.record(record(10))
    (path,) = (tmp_path / "tensorboard").iterdir()
    events = list(EventFileLoader(str(path)).Load())
    assert events[0].file_version == "brain.Event:2"
    assert math.isclose(events[-1].wall_time, events[0].wall_time, abs_tol=60)
    log.close()


def test_a_backup_of_links_stays_as_it_is(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    log.note("before")
    log.close()
    os.link(tmp_path / "log.jsonl", tmp_path / "backup")
    before = (tmp_path / "backup").read_bytes()
    log = RunLog(tmp_path, 10)
    log.note("after")
    log.close()
    assert (tmp_path / "backup").read_bytes() == before
    assert (tmp_path / "log.jsonl").read_bytes().startswith(before[:10])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for output in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(StorageError, match=r"file(/run)?: cannot be written: (File exists|Not a directory)\.\n"):
            RunLog(output)


def write_until_full(output: str, board: bool) -> None:
    """Write under a limit that the log or TensorBoard's file, which takes more for a part, meets first."""
    log = RunLog(Path(output))
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        for step in range(1000):
            if board:
                log.record(StepRecord(step, 1, 1.0, 1.0, 1.0, parts={str(part): 1.0 for part in range(20)}))
            else:
                log.warning("x" * 50)
    except StorageError as error:
        log.close()
        Path(output, "message").write_text(str(error), encoding="utf-8")


@pytest.mark.process
@pytest.mark.parametrize("board", [False, True])
def test_a_full_disk_is_one_message(tmp_path: Path, capfd: pytest.CaptureFixture[str], board: bool) -> None:
    output = tmp_path / "run"
    output.mkdir()
    assert processes.finish(processes.start(write_until_full, str(output), board)) == 0
    message = (output / "message").read_text(encoding="utf-8")
    assert message.startswith(f"{output / 'log.jsonl'}: cannot be written: File too large.\n")
    assert "continue with --resume" in message
    assert capfd.readouterr().err == ""
    if not board:
        assert all(json.loads(line) for line in (output / "log.jsonl").read_bytes().splitlines()[:-1])
