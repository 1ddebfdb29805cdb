"""A run that is stopped at any moment and resumed ends with the same bits as one that was not."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processes
import pytest
import tiny
from stopped_runs import SETTINGS, Stop, assert_same, train, train_in_process

from vsezoo.errors import InterruptedTrainingError
from vsezoo.training.resume import is_begun
from vsezoo.training.state import Progress, read_state

SHORT: dict[str, Any] = {"settings": {**SETTINGS, "training.val_step": 2}, "save_step": 1}
"""Of a run of a few steps that replaces its state and its checkpoint often."""


def train_until(data: Path, output: Path, moment: int, noted: Path) -> None:
    """Train until the files have been touched so and so many times while saving, then die; note what was touched."""
    touched = []

    def noting(original: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(target: Any, *arguments: Any, **options: Any) -> Any:
            shown = re.sub("[.][0-9a-f]{8}-[0-9]+-[0-9a-f]{8}[.]", ".", str(target)).rpartition("/")[2]
            touched.append(name if name == "fsync" else f"{name} {shown}")
            if len(touched) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(target, *arguments, **options)

        return call

    for owner, name in ((os, "fsync"), (os, "rename"), (shutil, "rmtree")):
        setattr(owner, name, noting(getattr(owner, name), name))
    train(data, output, **SHORT)
    noted.write_text("\n".join(touched), encoding="utf-8")


@pytest.mark.slow
def test_the_run_is_not_trivial(whole: Path) -> None:
    events = [json.loads(line) for line in (whole / "log.jsonl").read_bytes().splitlines()]
    validations = [event for event in events if event["event"] == "validation"]
    assert [event["step"] for event in validations] == [4, 8, 10, 12, 16, 20]
    assert sum(event["best"] for event in validations) >= 2
    assert events[0]["event"] == "begin"
    assert events[-1]["event"] == "end"


@pytest.mark.process
@pytest.mark.parametrize("step", [1, 10, 13, 20])
def test_killed_between_steps(data: Path, whole: Path, tmp_path: Path, step: int) -> None:
    output = tmp_path / "run"
    stop = Stop(signal.SIGKILL, step)
    assert processes.finish(processes.start(train_in_process, data, output, False, stop, {})) == -9
    train(data, output, resume=True)
    assert_same(output, whole)


@pytest.mark.slow
def test_another_optimizer_and_schedule_go_on_alike(data: Path, tmp_path: Path) -> None:
    changes = {"optimizer": "adamw", "optimizer.weight_decay": 0.1, "schedule": "cosine", "schedule.warmup": 6}
    train(data, tmp_path / "whole", settings=changes)
    with pytest.raises(InterruptedTrainingError):
        train(data, tmp_path / "run", settings=changes, stop=Stop(signal.SIGINT, 5))
    train(data, tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", tmp_path / "whole")
    state = read_state(tmp_path / "run")
    assert state.run.recipe.schedule.options == {"warmup": 6, "warmup_epochs": 0.0, "final": 0.0}


@pytest.mark.process
@pytest.mark.parametrize("validation", [1, 3, 6])
def test_killed_in_a_validation(data: Path, whole: Path, tmp_path: Path, validation: int) -> None:
    output = tmp_path / "run"
    stop = Stop(signal.SIGKILL, validation=validation)
    assert processes.finish(processes.start(train_in_process, data, output, False, stop, {})) == -9
    train(data, output, resume=True)
    assert_same(output, whole)


@pytest.mark.process
def test_killed_while_saving(tmp_path: Path) -> None:
    """Before each kind of renaming and removing, somewhere in the run, and at some of the flushes."""
    data = tiny.write_data(tmp_path / "few", images={"train": 16, "dev": 4, "test": 4})
    whole, noted = tmp_path / "whole", tmp_path / "noted"
    assert processes.finish(processes.start(train_until, data, whole, 0, noted)) == 0
    touched = noted.read_text(encoding="utf-8").splitlines()
    kinds = {f"{verb} {name}" for verb in ("rename", "rmtree") for name in (".last.tmp", ".best.tmp")}
    kinds |= {"rename last", "rename best", "rmtree last.previous", "rmtree best.previous", "fsync"}
    assert set(touched) == kinds
    chance = random.Random(4)
    moments = {1, 2, 4, len(touched)}
    half = len(touched) // 2
    for kind in sorted(kinds):  # when there are a state and a checkpoint that are replaced
        moments.add(chance.choice([moment for moment in range(half, len(touched)) if touched[moment - 1] == kind]))
    for moment in sorted(moments):
        output = tmp_path / f"run-{moment}"
        assert processes.finish(processes.start(train_until, data, output, moment, noted)) == -9
        train(data, output, resume=True, **SHORT)  # with its settings, which a run killed before its first save wants
        assert_same(output, whole)


@pytest.mark.process
def test_killed_again_and_again(data: Path, whole: Path, tmp_path: Path) -> None:
    """At random moments of a run that saves after every step, and of the runs that go on from it."""
    output, moments, kills = tmp_path / "run", random.Random(7), 0
    changes = {"save_step": 1, "settings": SETTINGS}
    for _ in range(60):
        process = processes.start(train_in_process, data, output, is_begun(output), None, changes)
        process.join(moments.uniform(0.05, 0.3) * 1.15**kills)  # longer and longer: a busy machine needs it to get on
        process.kill()
        process.join()
        if process.exitcode == 0:
            break
        kills += 1
        assert process.exitcode == -9
    assert process.exitcode == 0
    assert kills > 1
    assert_same(output, whole)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "stop"),
    [
        (signal.SIGTERM, {"step": 7}),
        (signal.SIGINT, {"step": 10}),
        (signal.SIGINT, {"step": 20}),
        (signal.SIGTERM, {"validation": 2}),
        (signal.SIGINT, {"validation": 6}),
    ],
)
def test_interrupted(data: Path, whole: Path, tmp_path: Path, number: int, stop: dict[str, int]) -> None:
    output = tmp_path / "a run"
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(InterruptedTrainingError) as raised:
        train(data, output, stop=Stop(number, **stop))
    assert raised.value.exit_code == 130
    stopped = read_state(output).progress.step
    assert f"Stopped after step {stopped}; the state is saved." in str(raised.value)
    # In a callback the step is done already, so the next one is the last; after an epoch there is none.
    assert stopped == stop.get("step", {2: 9, 6: 20}.get(stop.get("validation", 0))) + (stop == {"step": 7})
    assert f"Continue with: vsezoo train vsepp --output '{output}' --resume" in str(raised.value)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers
    train(data, output, resume=True)
    assert_same(output, whole)


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(data: Path, whole: Path, tmp_path: Path) -> None:
    class Twice(Stop):
        def step(self, progress: Progress) -> None:
            super().step(progress)
            super().step(progress)

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "run", stop=Twice(signal.SIGINT, 5))
    assert read_state(tmp_path / "run").progress.step == 4  # nothing was saved after the validation of step 4
    train(data, tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", whole)


@pytest.mark.process
def test_workers_change_nothing(data: Path, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedTrainingError):
        train(data, tmp_path / "run", stop=Stop(signal.SIGINT, 7), workers=1)
    train(data, tmp_path / "run", resume=True, workers=1)
    assert_same(tmp_path / "run", whole)
