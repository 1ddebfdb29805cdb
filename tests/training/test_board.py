"""TensorBoard's files, compared with what TensorBoard itself writes and reads."""

from __future__ import annotations

import io
import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import LETTERS
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from vsezoo.training.board import Board

NOW = 1700000000.123456


def write_with_tensorboard(start: int, step: int, scalars: dict[str, float]) -> bytes:
    stream = io.BytesIO()
    values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars.items()]
    for event in (
        Event(file_version="brain.Event:2"),
        Event(step=start + 1, session_log=SessionLog(status=SessionLog.START)),
        Event(step=step, summary=Summary(value=values)),
    ):
        event.wall_time = NOW
        RecordWriter(stream).write(event.SerializeToString())
    return stream.getvalue()


@pytest.mark.slow
@given(
    start=st.integers(0, 2**62),
    step=st.integers(1, 2**62),
    scalars=st.dictionaries(st.text(LETTERS, min_size=1, max_size=200), st.floats() | st.floats(width=32)),
)
def test_the_bytes_are_those_of_tensorboard(
    start: int, step: int, scalars: dict[str, float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("board")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time", lambda: NOW)
        board = Board(folder, start)
        board.write(step, scalars)
        board.close()
    (path,) = folder.iterdir()
    assert path.read_bytes() == write_with_tensorboard(start, step, scalars)


def test_tensorboard_reads_odd_numbers_and_the_first_step(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.write(0, {"nan": math.nan, "inf": math.inf, "large": -1e300, "small": 1e-300, "zero": 0.0})
    board.close()
    (path,) = tmp_path.iterdir()
    *_, event = EventFileLoader(str(path)).Load()
    values = {value.tag: value.tensor.float_val[0] for value in event.summary.value}
    assert math.isnan(values.pop("nan"))
    assert (event.step, values) == (0, {"inf": math.inf, "large": -math.inf, "small": 0.0, "zero": 0.0})
