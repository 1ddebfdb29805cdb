"""A run that is stopped at any moment and resumed ends with the same bits as one that was not."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import processes
import pytest
import tiny
import torch
from torch import Tensor

import vsezoo
from vsezoo import registry
from vsezoo.encoders.recurrent import GRUTextEncoder
from vsezoo.errors import CheckpointError, InterruptedTrainingError, UsageError, VsezooError
from vsezoo.evaluation.report import Evaluation
from vsezoo.interfaces import Tokens
from vsezoo.training.callbacks import Callback
from vsezoo.training.resume import is_begun
from vsezoo.training.state import Progress, read_state

SETTINGS = {
    "text_encoder": "noisy",
    **tiny.SETTINGS,
    "training.val_step": 4,
    "training.select_mid_epoch": True,
}
SAVE_STEP = 3


class NoisyEncoder(GRUTextEncoder):
    """Draws from every generator that a part may draw from."""

    def forward(self, tokens: Tokens) -> Tensor:
        embeddings = super().forward(tokens)
        if not self.training:
            return embeddings
        scale = 1 + 0.1 * random.random() + 0.1 * float(np.random.rand()) + 0.1 * float(np.random.randn())
        return torch.nn.functional.dropout(embeddings, 0.2) * scale


class Stop(Callback):
    """Stops its own process by a signal: after a step, or in the n-th validation."""

    def __init__(self, number: int, step: int = 0, validation: int = 0) -> None:
        self.signal, self.at_step, self.at_validation = number, step, validation
        self.validations = 0

    def step(self, progress: Progress) -> None:
        if progress.step == self.at_step:
            os.kill(os.getpid(), self.signal)

    def validation(self, progress: Progress, evaluation: Evaluation, score: float, best: bool) -> None:
        self.validations += 1
        if self.validations == self.at_validation:
            os.kill(os.getpid(), self.signal)


def train(data: Path, output: Path, *, resume: bool = False, stop: Stop | None = None, **changes: Any) -> Any:
    """Train in this process."""
    if "noisy" not in registry.list_names("text_encoders"):
        registry.register("text_encoders", "noisy")(NoisyEncoder)
    options: dict[str, Any] = {"device": "cpu", "save_step": SAVE_STEP} | changes
    options["settings"] = ({} if resume else SETTINGS) | options.get("settings", {})
    options["callbacks"] = [stop] if stop else []
    return vsezoo.train("vsepp", str(data), output=output, resume=resume, **options)


def train_until(data: Path, output: Path, resume: bool, moment: int, noted: Path) -> None:
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
    train(data, output, resume=resume, settings=SETTINGS)  # which a run killed before its first save wants again
    noted.write_text("\n".join(touched), encoding="utf-8")


def train_in_process(data: Path, output: Path, resume: bool, stop: Stop | None, changes: dict[str, Any]) -> None:
    train(data, output, resume=resume, stop=stop, **changes)


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    output = tmp_path_factory.mktemp("whole") / "run"
    with registry.session():
        train(data, output)
    return output


def assert_same(output: Path, whole: Path) -> None:
    """The checkpoint and the log are equal, bit for bit, but for where the data lie."""
    found, expected = processes.read_files(output / "best"), processes.read_files(whole / "best")
    found.pop("local.json"), expected.pop("local.json")
    assert found.keys() == expected.keys()
    for name in expected:
        assert found[name] == expected[name], name
    assert (output / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    assert [path.name for path in output.iterdir() if path.name.endswith((".tmp", ".previous"))] == []


@pytest.mark.slow
def test_the_run_is_not_trivial(whole: Path) -> None:
    events = [json.loads(line) for line in (whole / "log.jsonl").read_bytes().splitlines()]
    validations = [event for event in events if event["event"] == "validation"]
    assert [event["step"] for event in validations] == [4, 8, 10, 12, 16, 20]
    assert sum(event["best"] for event in validations) >= 2
    assert events[0]["event"] == "begin"
    assert events[-1]["event"] == "end"


@pytest.mark.process
@pytest.mark.parametrize("step", [1, 5, 10, 13, 20])
def test_killed_between_steps(data: Path, whole: Path, tmp_path: Path, step: int) -> None:
    output = tmp_path / "run"
    assert (
        processes.finish(processes.start(train_in_process, data, output, False, Stop(signal.SIGKILL, step), {})) == -9
    )
    assert processes.finish(processes.start(train_in_process, data, output, True, None, {})) == 0
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
    assert processes.finish(processes.start(train_in_process, data, output, True, None, {})) == 0
    assert_same(output, whole)


@pytest.mark.process
def test_killed_while_saving(data: Path, whole: Path, tmp_path: Path) -> None:
    """Before each kind of renaming and removing, somewhere in the run, and at some of the flushes."""
    noted = tmp_path / "noted"
    assert processes.finish(processes.start(train_until, data, tmp_path / "noted-run", False, 0, noted)) == 0
    touched = noted.read_text(encoding="utf-8").splitlines()
    kinds = {f"{verb} {name}" for verb in ("rename", "rmtree") for name in (".last.tmp", ".best.tmp")}
    kinds |= {"rename last", "rename best", "rmtree last.previous", "rmtree best.previous", "fsync"}
    assert set(touched) == kinds
    chance = random.Random(4)
    moments = {1, 2, 3, 4, 5, len(touched)}
    half = len(touched) // 2
    for kind in sorted(kinds):  # when there are a state and a checkpoint that are replaced
        moments.add(chance.choice([moment for moment in range(half, len(touched)) if touched[moment - 1] == kind]))
    for moment in sorted(moments):
        output = tmp_path / f"run-{moment}"
        assert processes.finish(processes.start(train_until, data, output, False, moment, noted)) == -9
        assert processes.finish(processes.start(train_until, data, output, True, 0, noted)) == 0
        assert_same(output, whole)


@pytest.mark.process
def test_killed_again_and_again(data: Path, whole: Path, tmp_path: Path) -> None:
    """At random moments of a run that saves after every step, and of the runs that go on from it."""
    output, moments, kills = tmp_path / "run", random.Random(7), 0
    changes = {"save_step": 1, "settings": SETTINGS}
    for _ in range(60):
        process = processes.start(train_in_process, data, output, is_begun(output), None, changes)
        process.join(moments.uniform(0.05, 0.3) * 1.05**kills)  # longer and longer: a busy machine needs it to get on
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
@pytest.mark.parametrize("stop", [{"step": 7}, {"step": 10}, {"step": 20}, {"validation": 2}, {"validation": 6}])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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


@pytest.mark.slow
def test_killed_before_anything_was_saved(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    output.mkdir()
    (output / "log.jsonl").write_text("the log of a run that came to nothing\n", encoding="utf-8")
    with pytest.raises(UsageError, match="already contains a run"):
        train(data, output)
    train(data, output, resume=True, settings=SETTINGS)
    assert_same(output, whole)


@pytest.mark.slow
def test_resume_where_there_was_no_run(data: Path, tmp_path: Path) -> None:
    """Often a misspelt folder: a new run would be on other data, and take hours until somebody notices."""
    with pytest.raises(UsageError, match=r"run: contains no training run to continue\.\nCheck --output"):
        train(data, tmp_path / "run", resume=True, settings=SETTINGS)
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_state_needs_its_data_again(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").touch()
    with pytest.raises(UsageError, match=r"has no saved state: .*\nRepeat its first command"):
        vsezoo.train("vsepp", output=tmp_path, resume=True, settings=SETTINGS)


@pytest.fixture
def finished(whole: Path, tmp_path: Path) -> Path:
    """A copy of the run that was never stopped."""
    output = tmp_path / "finished"
    shutil.copytree(whole, output)
    return output


@pytest.mark.slow
def test_a_finished_run_gives_its_figures_at_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = processes.read_files(finished)
    monkeypatch.setattr("vsezoo.training.splits.open_data", None)  # no data are needed any more
    started = time.time()
    result = vsezoo.train("vsepp", output=finished, resume=True)
    assert all(path.stat().st_mtime < started for path in finished.rglob("*"))
    assert processes.read_files(finished) == before
    assert result.checkpoint == finished / "best"
    assert result.evaluation.to_json() == json.loads(before["best/metrics.json"])
    assert result.evaluation.split == "test"


@pytest.mark.slow
def test_more_epochs(data: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    train(data, output, settings={"training.num_epochs": 1})
    result = train(data, output, resume=True, settings={"training.num_epochs": 2})
    assert result.evaluation.to_json() == json.loads((whole / "best" / "metrics.json").read_bytes())
    for name in ("model.safetensors", "metrics.json", "config.json"):
        assert (output / "best" / name).read_bytes() == (whole / "best" / name).read_bytes()
    with pytest.raises(UsageError, match="the run has already done 2 epochs"):
        train(data, output, resume=True, settings={"training.num_epochs": 1})


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"settings": {"training.learning_rate": 0.5}}, r"other values of training\.learning_rate\.\n.*--num-epochs"),
    ({"settings": {"loss.margin": 0.1, "training.num_epochs": 9}}, r"other values of loss\.margin\.\n"),
    ({"settings": {"text_encoder": "gru", "embed_size": 8}}, r"other values of text_encoder, embed_size\.\n"),
    ({"settings": {"training.seed": 1, "training.batch_size": 32}}, r"other values of training\.seed\.\n"),
    ({"full_dev": True}, "was started without --full-dev"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
@pytest.mark.slow
def test_what_would_be_another_run_is_refused(
    data: Path, finished: Path, changes: dict[str, Any], message: str
) -> None:
    before = processes.read_files(finished)
    with pytest.raises(UsageError, match=message) as raised:
        train(data, finished, resume=True, **changes)
    assert str(raised.value).startswith(f"{finished}: ")
    assert processes.read_files(finished) == before


@pytest.mark.slow
def test_other_data_and_another_model_are_refused(data: Path, finished: Path) -> None:
    with pytest.raises(UsageError, match=r"was started on '.*data', not on 'shapes'"):
        train(Path("shapes"), finished, resume=True)
    with pytest.raises(UsageError, match="contains a run of 'vsepp', not of 'vse0'"):
        vsezoo.train("vse0", str(data), output=finished, resume=True)
    assert vsezoo.train("vse++", str(data), output=finished, resume=True).evaluation.data == "data"  # an alias


@pytest.mark.slow
def test_data_that_have_moved(data: Path, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    with pytest.raises(InterruptedTrainingError):
        train(tmp_path / "data", tmp_path / "run", stop=Stop(signal.SIGINT, 5))
    (tmp_path / "data").rename(tmp_path / "elsewhere")
    train(tmp_path / "elsewhere", tmp_path / "run", resume=True)
    weights = [folder / "best" / "model.safetensors" for folder in (tmp_path / "run", finished)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_same_settings_are_no_change(data: Path, finished: Path) -> None:
    assert train(data, finished, resume=True, settings=SETTINGS).checkpoint == finished / "best"


@pytest.mark.slow
def test_other_captions_are_refused(data: Path, tmp_path: Path) -> None:
    copy, output = tmp_path / "data", tmp_path / "run"
    shutil.copytree(data, copy)
    with pytest.raises(InterruptedTrainingError):
        train(copy, output, stop=Stop(signal.SIGINT, 5))
    captions = (copy / "train_caps.txt").read_text(encoding="utf-8").splitlines()
    captions[0], captions[1] = captions[1], captions[0]
    (copy / "train_caps.txt").write_text("\n".join(captions), encoding="utf-8")
    with pytest.raises(UsageError, match=r"the captions of .* differ from those that the run was started with"):
        train(copy, output, resume=True)


@pytest.mark.slow
def test_a_warning_of_the_beginning_is_logged_once(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("test_*"))
    train(copy, tmp_path / "whole")
    with pytest.raises(InterruptedTrainingError):
        train(copy, tmp_path / "run", stop=Stop(signal.SIGINT, 5))
    train(copy, tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", tmp_path / "whole")
    assert (tmp_path / "run" / "log.jsonl").read_bytes().count(b"has no split 'test'") == 1


@pytest.mark.slow
def test_moved_data(data: Path, whole: Path, tmp_path: Path) -> None:
    """A registered data set may lie elsewhere when a run goes on."""
    first, second, output = tmp_path / "first", tmp_path / "second", tmp_path / "run"
    shutil.copytree(data, first / "f8k_precomp")
    options: dict[str, Any] = {"data_root": first, "overrides": False}
    with pytest.raises(InterruptedTrainingError):
        train(Path("f8k_precomp"), output, stop=Stop(signal.SIGINT, 5), **options)
    first.rename(second)
    with pytest.raises(VsezooError, match="were not found"):
        vsezoo.train("vsepp", output=output, resume=True)
    vsezoo.train("vsepp", output=output, resume=True, data_root=second, device="cpu", save_step=SAVE_STEP)
    assert (output / "best/model.safetensors").read_bytes() == (whole / "best/model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_moved_folder(data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run knows its folder of data in every working folder, and is told where that has moved to."""
    first, second, output = tmp_path / "first", tmp_path / "second", tmp_path / "run"
    shutil.copytree(data, first / "data")
    monkeypatch.chdir(first)
    with pytest.raises(InterruptedTrainingError):
        train(Path("data"), output, stop=Stop(signal.SIGINT, 5))
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"output": output, "resume": True, "device": "cpu", "save_step": SAVE_STEP}
    with pytest.raises(InterruptedTrainingError):
        vsezoo.train("vsepp", callbacks=[Stop(signal.SIGINT, 8)], **options)
    first.rename(second)
    with pytest.raises(VsezooError, match="were not found"):
        vsezoo.train("vsepp", **options)
    train(second / "data", output, resume=True)
    assert_same(output, whole)


def test_a_folder_without_a_state(data: Path, finished: Path) -> None:
    shutil.rmtree(finished / "last")
    before = processes.read_files(finished)
    with pytest.raises(CheckpointError, match="contains best/ but no last/, so there is nothing to resume from"):
        train(data, finished, resume=True)
    assert processes.read_files(finished) == before


def test_a_taken_folder_is_not_touched(data: Path, finished: Path) -> None:
    half_written = finished / ".last.abc.tmp"  # by a process that may still run
    half_written.mkdir()
    (half_written / "state.json").write_text("{", encoding="utf-8")
    before = processes.read_files(finished)
    with pytest.raises(
        UsageError, match=r"already contains a run \(last, best, log\.jsonl\)\.\nContinue .*--resume"
    ) as raised:
        train(data, finished)
    assert raised.value.exit_code == 2
    assert processes.read_files(finished) == before
