"""Searches: what is chosen and pruned, on made-up logs; and whole ones on tiny data."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import deaths
import processes
import pytest
import tiny
from click.testing import CliRunner

from vsezoo.cli import main
from vsezoo.errors import UsageError
from vsezoo.sweeps import trials as trials_module
from vsezoo.sweeps.listing import is_complete, list_runs
from vsezoo.sweeps.plan import Plan
from vsezoo.sweeps.running import SweepOptions
from vsezoo.sweeps.search import find_best, search, write_command
from vsezoo.sweeps.space import Range, Search
from vsezoo.sweeps.study import choose_settings, is_hopeless
from vsezoo.sweeps.trials import Trial, add_trial, list_trials
from vsezoo.training.callbacks import RunLog

pytest.importorskip("optuna")

SPACE = {"loss.margin": Range(0.05, 0.5), "embed_size": Range(4, 16, step=4), "loss.max_violation": [True, False]}


def make_trial(number: int, scores: list[float], state: str = "complete", **settings: object) -> Trial:
    chosen = {"loss.margin": 0.1, "embed_size": 8, "loss.max_violation": True, **settings}
    return Trial(number, Path(f"trial-{number}"), chosen, dict(enumerate(scores, 1)), state)


@pytest.mark.slow
def test_choices_are_in_their_ranges_and_repeatable() -> None:
    wanted, trials = Search(30, SPACE, seed=3), []
    for number in range(1, 21):
        settings = choose_settings(wanted, trials)
        assert settings == choose_settings(wanted, trials)
        assert 0.05 <= settings["loss.margin"] <= 0.5
        assert settings["embed_size"] in (4, 8, 12, 16)
        assert isinstance(settings["embed_size"], int)
        assert isinstance(settings["loss.max_violation"], bool)
        # The score is best at a margin of 0.3.
        score = 100 - 400 * abs(settings["loss.margin"] - 0.3)
        trials.append(Trial(number, Path(), settings, {1: score}, "complete"))
    margins = [trial.settings["loss.margin"] for trial in trials]
    assert len(set(margins)) == 20
    late = [abs(margin - 0.3) for margin in margins[10:]]
    assert sum(late) / 10 < sum(abs(margin - 0.3) for margin in margins[:10]) / 10  # it has learnt


def test_trials_of_another_space_are_left_out() -> None:
    trials = [make_trial(1, [5.0], other=1), make_trial(2, [5.0], **{"loss.margin": 9.0}), make_trial(3, [], "open")]
    assert choose_settings(Search(5, SPACE), trials)


@pytest.mark.parametrize(
    ("scores", "expected"), [([10.0], True), ([30.0], False), ([60.0], False), ([60.0, 1.0], False), ([], False)]
)
def test_what_is_hopeless(scores: list[float], expected: bool) -> None:
    """Five others had 10, 20, …, 50 after their first validation: the median is 30. The best score counts."""
    others = [make_trial(number, [10.0 * number, 55.0]) for number in range(1, 6)]
    assert is_hopeless(make_trial(6, scores, "open"), others) is expected


def test_the_first_trials_are_finished() -> None:
    others = [make_trial(number, [50.0]) for number in range(1, 5)]
    assert not is_hopeless(make_trial(6, [1.0], "open"), others)


def test_the_best_and_its_command() -> None:
    trials = [make_trial(1, [50.0]), make_trial(2, [60.0, 55.0]), make_trial(3, [90.0], "pruned")]
    best = find_best(trials)
    assert best is trials[1]
    assert find_best(trials[2:]) is None
    plan = Plan("vsepp", "f8k", settings={"text_encoder.pool": "mean"}, opening={"full_dev": True})
    assert write_command(plan, best) == (
        "vsezoo sweep vsepp --data f8k --full-dev --set text_encoder.pool=mean --set loss.margin=0.1 "
        "--set embed_size=8 --set loss.max_violation=true --seeds 3"
    )


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one seed"):
        search(Plan("vsepp", output=tmp_path, seeds=(1, 2), search=Search(2, SPACE)))
    for flags, problem in (
        (["--set", "loss.margin=0.1..0.2"], "only a search"),
        (["--trials", "3"], "no setting"),
        (["--trials", "3", "--set", "loss.margin=0.1..0.2", "--dry-run"], "as it goes"),
    ):
        done = CliRunner().invoke(main, ["sweep", "vsepp", "--output", str(tmp_path / "out"), *flags])
        assert (done.exit_code, problem in done.stderr) == (2, True), done.stderr


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_data(tmp_path_factory.mktemp("data") / "f30k_precomp")


@pytest.mark.slow
def test_a_search(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    flags = ["sweep", "vsepp", "--data", str(data), "--output", str(output), "--device", "cpu", "--json"]
    flags += [*tiny.make_flags(training__num_epochs=2), "--set", "training.learning_rate=log 1e-9..1e-1"]
    done = CliRunner().invoke(main, [*flags, "--trials", "2"])
    assert done.exit_code == 0, done.stderr
    value = json.loads(done.stdout)
    assert [trial["state"] for trial in value["trials"]] == ["complete", "complete"]
    assert (
        f"training.learning_rate={value['trials'][value['best'] - 1]['settings']['training.learning_rate']}"
        in (value["command"])
    )
    before = (output / "trial-1" / "log.jsonl").stat().st_mtime_ns
    # A trial that was stopped goes on with its settings; more trials continue the search.
    add_trial(output, 3, {"training.learning_rate": 2e-3})
    done = CliRunner().invoke(main, [*flags, "--trials", "4"])
    assert done.exit_code == 0, done.stderr
    assert (output / "trial-1" / "log.jsonl").stat().st_mtime_ns == before
    trials = list_trials(output)
    assert [trial.number for trial in trials] == [1, 2, 3, 4]
    assert trials[2].settings == {"training.learning_rate": 2e-3}
    assert {len(trial.scores) for trial in trials} == {2}
    assert not list(output.glob("trial-*/predictions.jsonl"))  # the test split is not looked at


@pytest.mark.slow
def test_a_hopeless_trial_ends_early(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Plan(
        "vsepp",
        str(data),
        output=tmp_path / "out",
        settings=tiny.SETTINGS,
        search=Search(6, {"training.learning_rate": [0.0, 0.01]}),
    )
    for number in range(1, 6):  # five that were good from the start
        trial = add_trial(plan.folder, number, {"training.learning_rate": 0.01})
        lines = [{"event": "validation", "epoch": n, "step": 10 * n, "rsum": 599, "score": 599.0} for n in (1, 2)]
        (trial.folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(trials_module, "is_complete", lambda folder: folder.name != "trial-6" or is_complete(folder))
    add_trial(plan.folder, 6, {"training.learning_rate": 0.0001})
    trials = search(plan, SweepOptions("cpu"))
    assert (trials[5].state, len(trials[5].scores)) == ("pruned", 1)
    assert list_runs(plan.folder / "trial-6")[0].state == "pruned"
    assert find_best(trials).number == 1


def die_after_a_validation() -> None:
    """Have this process killed as soon as it has logged one."""
    original = RunLog.validation

    def validation(*arguments: Any) -> None:
        original(*arguments)
        deaths.kill()

    RunLog.validation = validation  # type: ignore[method-assign]


@pytest.mark.process
@pytest.mark.slow
def test_a_killed_search_goes_on(data: Path, tmp_path: Path) -> None:
    flags = ["sweep", "vsepp", "--data", str(data), "--output", str(tmp_path / "out"), "--device", "cpu"]
    flags += [*tiny.make_flags(training__num_epochs=2), "--set", "loss.margin=0.1..0.3", "--trials", "2"]
    assert processes.run_command(tmp_path, *flags, before=die_after_a_validation).code == -signal.SIGKILL
    (first,) = list_trials(tmp_path / "out")
    assert (first.state, len(first.scores)) == ("open", 1)
    done = CliRunner().invoke(main, [*flags, "--json"])
    assert done.exit_code == 0, done.stderr
    trials = list_trials(tmp_path / "out")
    assert [trial.state for trial in trials] == ["complete", "complete"]
    assert trials[0].settings == first.settings
    assert [len(trial.scores) for trial in trials] == [2, 2]
