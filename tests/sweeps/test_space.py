"""What a search chooses from."""

from __future__ import annotations

from pathlib import Path

import pytest

from vsezoo.errors import UsageError
from vsezoo.sweeps.plan import read_plan
from vsezoo.sweeps.space import Range, Search, is_range, read_choice


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.05..0.5", Range(0.05, 0.5)),
        ("log 1e-5..1e-2", Range(1e-5, 1e-2, log=True)),
        ("256..1024 step 256", Range(256, 1024, step=256)),
        ("-1..1", Range(-1, 1)),
        (".5..1", Range(0.5, 1)),
        ("1..2.0", Range(1, 2.0)),
        (["last", "mean"], ["last", "mean"]),
    ],
)
def test_choices(text: object, expected: object) -> None:
    assert read_choice("x", text) == expected
    assert is_range(text) == isinstance(text, str)


def test_whole_numbers() -> None:
    assert Range(1, 4).whole
    assert Range(256, 1024, step=256).whole
    assert not Range(1, 4.0).whole
    assert not Range(0, 1, step=0.5).whole


@pytest.mark.parametrize("text", ["0.5", "0.5..0.1", "1..1", "log 0..1", "0..1 step 2", "a..b", [], 3, "1..2 step 0"])
def test_what_is_no_choice(text: object) -> None:
    with pytest.raises(UsageError, match=r"loss\.margin"):
        read_choice("loss.margin", text)


def test_a_plan(tmp_path: Path) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(
        'model = "vsepp"\n[search]\ntrials = 9\nprune = false\nseed = 4\n'
        '[search.space]\n"loss.margin" = "0.1..0.3"\ntext_encoder.pool = ["last", "mean"]\n'
    )
    space = {"loss.margin": Range(0.1, 0.3), "text_encoder.pool": ["last", "mean"]}
    assert read_plan(file).search == Search(9, space, prune=False, seed=4)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("trials = 2", "no setting"),
        ('space = {a = "1..2"}', "needs trials"),
        ('trials = 0\nspace = {a = "1..2"}', "not a number of trials"),
        ('trials = true\nspace = {a = "1..2"}', "not a number of trials"),
        ('trials = 2\nprun = true\nspace = {a = "1..2"}', "prun"),
        ('trials = 2\nspace = {a = "b"}', "neither a list"),
    ],
)
def test_impossible_plans(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(f'model = "vsepp"\n[search]\n{text}\n')
    with pytest.raises(UsageError, match=problem):
        read_plan(file)
