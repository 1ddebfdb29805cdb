"""Evaluations as JSON and as text."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from rich.console import Console

from vsezoo.cli.figures import render
from vsezoo.errors import CheckpointError
from vsezoo.evaluation.metrics import DirectionMetrics, Metrics, Ties
from vsezoo.evaluation.report import Evaluation

EVALUATION = Evaluation(
    metrics=Metrics(
        DirectionMetrics(41.3, 69.25, 81.2, 1.8, 10.04),
        DirectionMetrics(30.3, 59.4, 72.4, 4.0, 20.5),
        Ties("lower_index", 0, 300),
    ),
    data="coco_precomp",
    split="testall",
    protocol="fold5",
    checkpoints=[{"reference": "runs/a", "model": "vsepp", "sha256": "0" * 64}],
    images=5000,
    captions=25000,
)
STORED = {
    "data": "coco_precomp",
    "split": "testall",
    "protocol": "fold5",
    "checkpoints": [{"reference": "runs/a", "model": "vsepp", "sha256": "0" * 64}],
    "ensemble": False,
    "images": 5000,
    "captions": 25000,
    "i2t": {"R@1": 41.3, "R@5": 69.25, "R@10": 81.2, "MedR": 1.8, "MeanR": 10.04},
    "t2i": {"R@1": 30.3, "R@5": 59.4, "R@10": 72.4, "MedR": 4.0, "MeanR": 20.5},
    "rsum": pytest.approx(353.85),
    "mR": pytest.approx(58.975),
    "ties": {"rule": "lower_index", "i2t": 0, "t2i": 300},
}


def show(evaluation, width=80):
    console = Console(width=width)
    with console.capture() as capture:
        console.print(render(evaluation))
    return capture.get()


def test_json():
    assert EVALUATION.to_json() == STORED
    assert Evaluation.from_json(json.loads(json.dumps(EVALUATION.to_json()))) == EVALUATION


def test_json_of_a_later_version_may_have_more_keys_and_whole_numbers():
    value = EVALUATION.to_json() | {"later": 1}
    value["t2i"] = value["t2i"] | {"MedR": 4}
    assert Evaluation.from_json(value) == EVALUATION


def change(**changes):
    return EVALUATION.to_json() | changes


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "lacks 'i2t'"),
        ({key: value for key, value in change().items() if key != "split"}, "lacks 'split'"),
        (change(i2t={}), "lacks 'i2t.R@1'"),
        (change(i2t=[1, 2, 3]), "lacks 'i2t.R@1'"),
        (change(i2t=STORED["i2t"] | {"R@5": "69"}), "invalid value of 'i2t.R@5'"),
        (change(i2t=STORED["i2t"] | {"R@5": float("nan")}), "invalid value of 'i2t.R@5'"),
        (change(images=True), "invalid value of 'images'"),
        (change(images=-1), "invalid value of 'images'"),
        (change(checkpoints=["runs/a"]), "invalid value of 'checkpoints'"),
        (change(data=5), "invalid value of 'data'"),
    ],
)
def test_json_that_does_not_fit(value, problem):
    with pytest.raises(CheckpointError, match=f"^run/metrics.json: .*({problem})"):
        Evaluation.from_json(value, "run/metrics.json")


def test_table():
    text = show(EVALUATION)
    assert "coco_precomp, testall split: 5 folds of 1,000 images, averaged" in text
    assert "single model, 5,000 images, 25,000 captions" in text
    rows = [line.replace("│", " ").split() for line in text.splitlines() if "│" in line]
    assert rows == [
        ["image", "to", "text", "(i2t)", "41.3", "69.2", "81.2", "1.8", "10.0"],
        ["text", "to", "image", "(t2i)", "30.3", "59.4", "72.4", "4.0", "20.5"],
    ]
    assert "rsum 353.9, mR 59.0; tied queries: 0 i2t, 300 t2i (rule: lower_index)" in text


@pytest.mark.parametrize("width", [80, 200])
def test_table_keeps_within_the_terminal(width):
    many = replace(EVALUATION, metrics=replace(EVALUATION.metrics, ties=Ties("lower_index", 5000, 25000)))
    assert max(map(len, show(many, width).splitlines())) <= width
    assert "100.0% of the queries are tied" in show(many, width)


@pytest.mark.parametrize(("tied", "warned"), [(300, False), (301, True)])
def test_warning_above_one_percent_of_ties(tied, warned):
    metrics = replace(EVALUATION.metrics, ties=Ties("lower_index", 0, tied))
    assert ("Warning" in show(replace(EVALUATION, metrics=metrics))) is warned


def test_an_ensemble_is_named_and_labels_are_no_markup():
    text = show(replace(EVALUATION, data="[red]odd[/]", checkpoints=[{}, {}]))
    assert "ensemble of 2 models" in text
    assert "[red]odd[/], testall split" in text


def test_a_name_that_commands_terminals_is_kept_and_shown():
    odd = Evaluation.from_json(change(data="ev\x1b[31mil"))
    assert odd.data == "ev\x1b[31mil"
    assert r"'ev\x1b[31mil', testall split" in show(odd)


@pytest.mark.process
def test_reports_need_no_torch():
    code = "import sys, vsezoo.evaluation.report; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
