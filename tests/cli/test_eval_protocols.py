"""Protocols and predictions of `vsezoo eval`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import processes
import pytest
import tiny
from evaluations import evaluate, invoke

import vsezoo
from vsezoo import registry

# Protocols


@pytest.fixture(scope="module")
def coco(root: Path, runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5,000 images, in the name of COCO; each thousand shows the same."""
    folder = tiny.write_data(tmp_path_factory.mktemp("coco") / "coco_precomp", images={"test": 1000})
    features = np.load(folder / "test_ims.npy")
    captions = (folder / "test_caps.txt").read_text(encoding="utf-8")
    np.save(folder / "testall_ims.npy", np.tile(features, (5, 1)))
    (folder / "testall_caps.txt").write_text(5 * captions, encoding="utf-8")
    return folder


@pytest.mark.slow
def test_fold5(runs: list[Path], coco: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    text = invoke(runs[0], "--data", coco, "--fold5", "--output", file).stdout  # testall by default in a folder, too
    assert "coco_precomp, testall split: 5 folds of 1,000 images, averaged" in text
    folds = json.loads(file.read_bytes())
    labels = ("coco_precomp", "testall", "fold5", 5000, 25000)
    assert tuple(folds[key] for key in ("data", "split", "protocol", "images", "captions")) == labels
    # Every fold is the same thousand images, so that the mean over folds is what one of them gives, but for the last
    # bits of captions that are encoded in other batches.
    one = evaluate(runs[0], "--data", "coco_precomp", "--data-root", coco.parent)
    assert (one["split"], one["protocol"], one["images"]) == ("test", "full", 1000)
    for direction in ("i2t", "t2i"):
        for label, figure in one[direction].items():
            assert folds[direction][label] == pytest.approx(figure, rel=1e-4)
    assert folds["rsum"] == pytest.approx(one["rsum"])


def test_fold5_of_another_number_of_images(root: Path, runs: list[Path]) -> None:
    message = r"^The split has 20 images; fold5 needs 5,000\.\n.*protocol `full`"
    place = ("--fold5", "--data-root", root)
    processes.assert_one_message(invoke(runs[0], *place, "--split", "test"), 2, message)
    processes.assert_one_message(invoke(runs[0], *place), 1, r"has no split 'testall'\.\nIts splits are train, dev,")


# Predictions


@pytest.mark.slow
def test_predictions(root: Path, runs: list[Path], tmp_path: Path) -> None:
    from vsezoo.evaluation.predictions import read_predictions

    file = tmp_path / "one.jsonl"
    found = evaluate(runs[0], "--data-root", root, "--predictions", file, "--top", "3")
    predictions = read_predictions(file)
    assert predictions.about["evaluation"] == found
    assert predictions.about["recipes"][0]["name"] == "vsepp"
    assert predictions.about["recipes"][0]["training"]["seed"] == 0
    for direction, number in (("i2t", 20), ("t2i", 100)):
        queries = [query for query in predictions.queries if query.direction == direction]
        assert len(queries) == number
        assert {len(query.top) for query in queries} == {3}
        for k in (1, 5, 10):
            assert 100 * np.mean([query.rank <= k for query in queries]) == pytest.approx(found[direction][f"R@{k}"])


def test_predictions_are_of_one_evaluation(root: Path, runs: list[Path], tmp_path: Path) -> None:
    done = invoke(*runs, "--data-root", root, "--predictions", tmp_path / "two.jsonl")
    assert done.exit_code == 2
    assert "--predictions names one file" in done.stderr
    done = invoke(runs[0], "--data-root", root, "--predictions", tmp_path / "two.txt")
    assert done.exit_code == 2
    assert "two.txt: its suffix does not say" in done.stderr


@pytest.mark.slow
def test_a_registered_protocol(root: Path, runs: list[Path], tmp_path: Path) -> None:
    from vsezoo.evaluation.protocol import Protocol

    class FirstCaptions(Protocol):
        name, summary, split = "first-captions", "Scores of the first captions.", "test"

        def measure(self, score, data, folder):  # type: ignore[no-untyped-def]
            scores = score([3, 1], [data.captions[0], "red"])
            assert folder == tmp_path
            return {"first": float(scores[0, 0]), "shape": scores.shape[0] * 10 + scores.shape[1]}

    with registry.session():
        registry.register("protocols", "first-captions")(FirstCaptions())
        flags = ("--protocol", "first-captions", "--judgements", tmp_path, "--data-root", root)
        one, other = (json.loads(invoke(run, *flags, "--json").stdout) for run in runs)
        both = json.loads(invoke(*runs, "--ensemble", *flags, "--json").stdout)
        assert invoke(runs[0], *flags, "--predictions", tmp_path / "a.jsonl").exit_code == 2
        table = invoke(*runs, *flags).stdout
    model = vsezoo.load(runs[0])
    data = vsezoo.open_data("f30k_precomp", "test", options=vsezoo.OpenOptions(root))
    image, text = model.encode_images(data.images([3])), model.encode_texts([data.captions[0]])
    assert one["figures"] == {"first": pytest.approx(model.similarity(image, text).item(), abs=1e-5), "shape": 22}
    assert (one["protocol"], one["data"], one["split"]) == ("first-captions", "f30k_precomp", "test")
    mean = (one["figures"]["first"] + other["figures"]["first"]) / 2
    assert both["figures"]["first"] == pytest.approx(mean, abs=1e-5)
    assert table.splitlines()[0] == "first-captions: images of f30k_precomp, test split"


def test_two_protocols(runs: list[Path]) -> None:
    done = invoke(runs[0], "--fold5", "--protocol", "flickr8k-cf")
    assert done.exit_code == 2
    assert "are two protocols" in done.stderr
    done = invoke(runs[0], "--protocol", "flickr8k-fc")
    assert done.exit_code == 2
    assert "There is no protocol 'flickr8k-fc'.\nDid you mean 'flickr8k-cf'?" in done.stderr
