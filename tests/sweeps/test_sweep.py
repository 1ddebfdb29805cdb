"""Sweeps on tiny data, and the listing of runs."""

import json
import subprocess
import sys
from pathlib import Path

import programs
import pytest
import tiny
from click.testing import CliRunner
from filelock import FileLock

import vsezoo
from vsezoo.cli import main
from vsezoo.evaluation.predictions import read_predictions
from vsezoo.sweeps import running
from vsezoo.sweeps.listing import list_runs, summarize
from vsezoo.sweeps.plan import Plan
from vsezoo.sweeps.sweep import SweepOptions, sweep
from vsezoo.training.board import Board, read_pace
from vsezoo.training.layout import LOCK


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_data(tmp_path_factory.mktemp("data") / "f30k_precomp")


def make_plan(data: Path, output: Path, **changes) -> Plan:
    settings = tiny.SETTINGS | {"training.num_epochs": 1}
    return Plan(**{"model": "vsepp", "data": str(data), "output": output, "settings": settings, **changes})


def run(*arguments: str):
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.slow
def test_a_sweep(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    flags = ["sweep", "vsepp", "--data", str(data), "--output", str(output), "--seeds", "2", "--device", "cpu"]
    flags += [*tiny.make_flags(training__num_epochs=1), "--set", "loss.margin=0.1,0.2"]
    names = [f"margin-{margin}_seed-{seed}" for margin in (0.1, 0.2) for seed in (1, 2)]
    planned = run(*flags, "--dry-run")
    assert planned.exit_code == 0, planned.stderr
    assert not output.exists()
    assert all(str(output / name) in planned.stdout for name in names)

    done = run(*flags, "--json")
    assert done.exit_code == 0, done.stderr
    value = json.loads(done.stdout)
    assert [item["folder"] for item in value["runs"]] == [str(output / name) for name in names]
    assert {item["state"] for item in value["runs"]} == {"complete"}
    rows = value["comparison"]["rows"]
    assert [row["name"] for row in rows] == ["vsepp loss.margin=0.1", "vsepp loss.margin=0.2"]
    seeds = [item["rsum"] for item in value["runs"][:2]]
    assert rows[0]["mean"]["rsum"] == pytest.approx(sum(seeds) / 2)
    assert (output / "table.md").read_text().startswith("| model | runs |")

    # Each run is the one that `vsezoo train` does.
    settings = tiny.SETTINGS | {"training.num_epochs": 1, "loss.margin": 0.2, "training.seed": 2}
    alone = vsezoo.train("vsepp", str(data), output=tmp_path / "alone", settings=settings, device="cpu")
    found = read_predictions(output / names[3] / "predictions.jsonl").about["evaluation"]
    assert found["i2t"] == alone.evaluation.to_json()["i2t"]

    # What is done is not done again; what is not done is.
    logs = {name: (output / name / "log.jsonl").stat().st_mtime_ns for name in names}
    (output / names[2] / "predictions.jsonl").unlink()
    again = run(*flags)
    assert again.exit_code == 0, again.stderr
    assert "3 of 4 runs are done already." in again.stderr
    assert (output / names[2] / "predictions.jsonl").exists()
    assert {name: (output / name / "log.jsonl").stat().st_mtime_ns for name in names} == logs
    listed = run("runs", str(output))
    assert listed.stdout.count("complete") == 4


@pytest.mark.slow
def test_a_run_that_fails_does_not_stop_the_others(data: Path, tmp_path: Path) -> None:
    plan = make_plan(data, tmp_path / "out", listed=[{"loss": "none-such"}, {"loss.margin": 0.1}])
    lines: list[str] = []
    bad, good = sweep(plan, SweepOptions("cpu"), report=lines.append)
    assert "none-such" in bad.problem
    assert not good.problem
    assert any("failed" in line for line in lines)
    assert [item.state for item in list_runs(tmp_path / "out")] == ["failed", "complete"]


def test_unknown_settings_fail_with_their_message(data: Path, tmp_path: Path) -> None:
    done = run("sweep", "vsepp", "--data", str(data), "--output", str(tmp_path / "out"), "--set", "loss.margn=1,2")
    assert done.exit_code == 1
    assert "2 of 2 runs failed" in done.stderr
    assert "margn" in done.stderr


@pytest.mark.process
@pytest.mark.slow
def test_two_at_a_time_and_a_killed_sweep(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "subprocess", programs.FORKED)
    plan = make_plan(data, tmp_path / "out", seeds=(1, 2))
    settings = {**plan.settings, "training.seed": 1}  # a run that goes on after its first epoch
    vsezoo.train("vsepp", str(data), output=plan.folder / "seed-1", settings=settings, device="cpu")
    longer = make_plan(data, tmp_path / "out", seeds=(1, 2), settings={**plan.settings, "training.num_epochs": 2})
    outcomes = sweep(longer, SweepOptions("cpu", jobs=2))
    assert [outcome.problem for outcome in outcomes] == ["", ""]
    assert [item.state for item in list_runs(tmp_path / "out")] == ["complete", "complete"]
    whole = vsezoo.train(
        "vsepp", str(data), output=tmp_path / "whole", settings={**longer.settings, "training.seed": 1}, device="cpu"
    )
    found = read_predictions(outcomes[0].folder / "predictions.jsonl").about["evaluation"]
    assert found["rsum"] == pytest.approx(whole.evaluation.metrics.rsum)


# The listing


@pytest.mark.process
def test_states(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "one"
    settings = tiny.SETTINGS | {"training.num_epochs": 2}
    vsezoo.train("vsepp", str(data), output=folder, settings=settings, device="cpu")
    summary = summarize(folder)
    assert (summary.state, summary.model, summary.epoch, summary.num_epochs) == ("complete", "vsepp", 2, 2)
    metrics = json.loads((folder / "best" / "metrics.json").read_bytes())
    assert (summary.rsum, summary.split) == (metrics["rsum"], "test")
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert summary.best_score == max(event["score"] for event in events if event["event"] == "validation")
    state = folder / "last" / "state.json"
    value = json.loads(state.read_bytes())
    value["place"]["complete"] = False
    state.write_text(json.dumps(value))
    assert summarize(folder).state == "stopped"
    with FileLock(folder / LOCK):
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from vsezoo.sweeps.listing import summarize; from pathlib import Path; "
             f"print(summarize(Path({str(folder)!r})).state, 'torch' in sys.modules)"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert done.stdout.split() == ["running", "False"]
    assert [item.folder for item in list_runs(tmp_path)] == [folder]


def test_damaged_files_are_not_known(tmp_path: Path) -> None:
    (tmp_path / "run" / "last").mkdir(parents=True)
    (tmp_path / "run" / "last" / "state.json").write_text("{")
    (tmp_path / "run" / "log.jsonl").write_text('{"event": "begin", "rec')
    summary = list_runs(tmp_path)[0]
    assert (summary.state, summary.model, summary.epoch, summary.num_epochs) == ("stopped", "", 0, None)


def test_a_folder_without_runs(tmp_path: Path) -> None:
    done = run("runs", str(tmp_path))
    assert (done.exit_code, done.stdout) == (0, "")
    assert "no training run" in done.stderr
    done = run("runs", str(tmp_path / "none"))
    assert done.exit_code == 2
    assert "none: does not exist" in done.stderr


def test_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_pace(tmp_path) is None
    now = 1000.0
    monkeypatch.setattr("time.time", lambda: now)
    board = Board(tmp_path, 200)  # resumed after 200 steps
    assert read_pace(tmp_path) is None
    for step in (300, 1000):
        now = 1000.0 + 0.5 * (step - 200)
        board.write(step, {"loss": 1.0})
    board.close()
    assert read_pace(tmp_path) == (1000, pytest.approx(0.5))
