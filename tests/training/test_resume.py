"""What a run that is resumed takes from the one before, and what it refuses."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import processes
import pytest
from stopped_runs import SAVE_STEP, SETTINGS, Stop, assert_same, train

import vsezoo
from vsezoo.errors import CheckpointError, InterruptedTrainingError, UsageError, VsezooError


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
