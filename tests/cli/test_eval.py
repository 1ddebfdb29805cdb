"""`vsezoo eval`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
from evaluations import evaluate, invoke

import vsezoo
from vsezoo import registry
from vsezoo.evaluation.metrics import TIE_RULES

KEYS = [
    *("data", "split", "protocol", "checkpoints", "ensemble", "images", "captions", "i2t", "t2i", "rsum", "mR", "ties"),
]


@pytest.mark.slow
def test_the_figures_are_those_of_the_training(root: Path, runs: list[Path]) -> None:
    stored = json.loads((runs[0] / "best" / "metrics.json").read_bytes())
    found = evaluate(runs[0], "--data-root", root)
    assert list(found) == KEYS
    assert list(found["i2t"]) == list(found["t2i"]) == ["R@1", "R@5", "R@10", "MedR", "MeanR"]
    assert found["checkpoints"] == [stored["checkpoints"][0] | {"reference": str(runs[0])}]
    assert {**found, "checkpoints": 0} == {**stored, "checkpoints": 0}
    labels = ("f30k_precomp", "test", "full", False, 20, 100)
    assert tuple(found[key] for key in ("data", "split", "protocol", "ensemble", "images", "captions")) == labels
    assert found["rsum"] > 300  # it has learned something
    assert evaluate(runs[0] / "best", "--data", root / "f30k_precomp") == {
        **found,
        "checkpoints": [found["checkpoints"][0] | {"reference": str(runs[0] / "best")}],
    }


@pytest.mark.slow
def test_the_figures_are_those_of_a_slow_reference(root: Path, runs: list[Path]) -> None:
    """Ranks by sorting the whole matrix, from the model's own embeddings of plain strings and arrays."""
    model = vsezoo.load(runs[0])
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    captions = (root / "f30k_precomp" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    scores = model.similarity(model.encode_images(features), model.encode_texts(captions)).numpy()

    def sort(row: np.ndarray) -> list[int]:
        return np.argsort(-row, kind="stable").tolist()  # of equal scores the lower index comes first

    i2t = [min(sort(row).index(5 * image + k) for k in range(5)) for image, row in enumerate(scores)]
    t2i = [sort(column).index(caption // 5) for caption, column in enumerate(scores.T)]
    found = evaluate(runs[0], "--data-root", root)
    for direction, ranks in (("i2t", np.array(i2t)), ("t2i", np.array(t2i))):
        for k in (1, 5, 10):
            assert found[direction][f"R@{k}"] == pytest.approx(100 * (ranks < k).mean())
        assert found[direction]["MedR"] == np.floor(np.median(ranks)) + 1
        assert found[direction]["MeanR"] == pytest.approx(ranks.mean() + 1)


def test_the_table(root: Path, runs: list[Path]) -> None:
    done = invoke(runs[0], "--data-root", root)
    assert (done.exit_code, done.stderr) == (0, "")
    found = evaluate(runs[0], "--data-root", root)
    assert "f30k_precomp, test split: all images against all captions" in done.stdout
    assert "single model, 20 images, 100 captions" in done.stdout
    row = next(line for line in done.stdout.splitlines() if "(t2i)" in line)
    assert re.findall(r"[\d.]+", row.replace("t2i", "")) == [f"{figure:.1f}" for figure in found["t2i"].values()]


@pytest.mark.slow
def test_ensemble(root: Path, runs: list[Path]) -> None:
    alone = [evaluate(run, "--data-root", root) for run in runs]
    both = evaluate(*runs, "--ensemble", "--data-root", root)
    assert both["ensemble"] is True
    assert [checkpoint["reference"] for checkpoint in both["checkpoints"]] == [str(run) for run in runs]
    assert len({checkpoint["sha256"] for checkpoint in both["checkpoints"]}) == 2
    assert both["rsum"] not in {single["rsum"] for single in alone}
    # The same model twice is that model.
    twice = evaluate(runs[0], runs[0], "--ensemble", "--data-root", root)
    assert (twice["i2t"], twice["t2i"]) == (alone[0]["i2t"], alone[0]["t2i"])
    # Similarities are averaged, not embeddings: by hand.
    models = [vsezoo.load(run) for run in runs]
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    captions = (root / "f30k_precomp" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    scores = sum(model.similarity(model.encode_images(features), model.encode_texts(captions)) for model in models) / 2
    hits = (scores.argmax(dim=0).numpy() == np.arange(100) // 5).mean()
    assert both["t2i"]["R@1"] == pytest.approx(100 * hits)
    assert "ensemble of 2 models" in invoke(*runs, "--ensemble", "--data-root", root).stdout


@pytest.mark.slow
def test_scores_are_kept(root: Path, runs: list[Path], tmp_path: Path) -> None:
    """The scores of all pairs are in the file, and rank as they did."""
    arguments = (*runs, "--ensemble", "--data-root", root, "--scores", tmp_path / "scores.npy")
    first, second = evaluate(*arguments), evaluate(*arguments)
    assert first == second == evaluate(*runs, "--ensemble", "--data-root", root)
    assert np.load(tmp_path / "scores.npy").shape == (first["images"], first["captions"])


@pytest.mark.slow
def test_several_checkpoints_one_by_one(root: Path, runs: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "figures.json"
    found = evaluate(*runs, "--data-root", root, "--output", output)
    assert found["evaluations"] == [evaluate(run, "--data-root", root) for run in runs]
    written = json.loads(output.read_bytes())
    assert [{**one, "account": 0} for one in written["evaluations"]] == [
        {**one, "account": 0} for one in found["evaluations"]
    ]
    lines = invoke(*runs, "--data-root", root).stdout.splitlines()
    titles = [index for index, line in enumerate(lines) if line.startswith("f30k_precomp, test split")]
    assert [lines[index - 1] for index in titles] == [str(run) for run in runs]


@pytest.mark.parametrize("split", ["dev", "train"])
def test_another_split(root: Path, runs: list[Path], split: str) -> None:
    found = evaluate(runs[0], "--split", split, "--data-root", root)
    assert (found["split"], found["images"]) == (split, tiny.IMAGES[split])
    assert found["rsum"] != evaluate(runs[0], "--data-root", root)["rsum"]


def test_dev_is_the_score_that_the_checkpoint_was_chosen_by(root: Path, runs: list[Path]) -> None:
    config = json.loads((runs[0] / "best" / "config.json").read_bytes())
    assert evaluate(runs[0], "--split", "dev", "--data-root", root)["rsum"] == config["trained"]["score"]


@pytest.mark.slow
def test_the_rules_for_ties(root: Path, runs: list[Path], tmp_path: Path) -> None:
    """Each image twice: the second copy scores exactly as the first."""
    folder = tmp_path / "twice"
    folder.mkdir()
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    np.save(folder / "test_ims.npy", features.repeat(2, axis=0))
    captions = (root / "f30k_precomp" / "test_caps.txt").read_text(encoding="utf-8").splitlines()
    doubled = [line for image in range(20) for line in 2 * captions[5 * image : 5 * image + 5]]
    (folder / "test_caps.txt").write_text("\n".join(doubled), encoding="utf-8")
    rules = {rule: evaluate(runs[0], "--data", folder, "--ties", rule) for rule in RULES}
    for rule, found in rules.items():
        assert found["ties"] == {"rule": rule, "i2t": 40, "t2i": 200}
    # Of the two copies the lower index comes first: half of the captions find theirs a place later.
    mean = {rule: found["t2i"]["MeanR"] for rule, found in rules.items()}
    assert mean["expected"] == pytest.approx(mean["lower_index"])
    assert mean["pessimistic"] == pytest.approx(mean["lower_index"] + 0.5)
    assert rules["pessimistic"]["t2i"]["R@1"] == 0
    assert "Warning: 100.0% of the queries are tied" in invoke(runs[0], "--data", folder).stdout


RULES = ("lower_index", "pessimistic", "expected")


def test_the_rules_of_the_flag_are_those_of_the_core() -> None:
    """The command line names them itself, since the core's table would import numpy."""
    (option,) = [option for option in registry.load("commands", "eval").params if option.name == "ties"]
    assert tuple(option.type.choices) == tuple(TIE_RULES) == RULES


def test_features_that_are_duplicated_or_half_as_precise(root: Path, runs: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "copied"
    folder.mkdir()
    features = np.load(root / "f30k_precomp" / "test_ims.npy")
    shutil.copy(root / "f30k_precomp" / "test_caps.txt", folder)
    np.save(folder / "test_ims.npy", features.repeat(5, axis=0))
    alone = evaluate(runs[0], "--data-root", root)
    copied = evaluate(runs[0], "--data", folder)
    assert (copied["i2t"], copied["t2i"]) == (alone["i2t"], alone["t2i"])
    np.save(folder / "test_ims.npy", features.astype(np.float16))
    assert evaluate(runs[0], "--data", folder)["rsum"] == pytest.approx(alone["rsum"], abs=10)
