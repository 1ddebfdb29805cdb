"""Checkpoints and stopped runs of an earlier version: they load, evaluate and go on as they did in that version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from before.processor import describe
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

import vsezoo

BEFORE = Path(__file__).parent / "before"
MADE: dict[str, Any] = json.loads((BEFORE / "made.json").read_bytes())
RUNS: dict[str, Any] = MADE["runs"]
BEFORE_BATCH_NORM, DRIFT = (".W.0.bias", ".W.1.running_mean"), 0.03
"""Of VSRN: biases whose gradient is zero but for rounding, which Adam scales up to whole steps, and what follows them.

Such a bias may go anywhere at a step's pace on another processor; batch norm takes it away again.
"""
TIES = 0.5
"""Percent: on another processor a few queries of `shapes`, where captions recur, may be ranked otherwise."""


@pytest.fixture(autouse=True)
def _place(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute with one thread, as it was done then, in the folder that relative paths of weights are of."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(BEFORE)
    monkeypatch.setenv("VSEZOO_WEIGHTS", str(BEFORE / "weights"))
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def machine() -> dict[str, str]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    described = describe()
    torch.set_num_threads(threads)
    return described


@pytest.fixture
def exact(machine: dict[str, str]) -> bool:
    """Whether this machine computes the very bits that are stored; elsewhere all comparisons have a tolerance."""
    return all(MADE[name] == value for name, value in machine.items())


def find_data(name: str) -> str | None:
    """Return the folder of a run's data; None for a registered data set, which the run knows by its name."""
    folder = BEFORE / RUNS[name]["data"]
    return str(folder) if folder.is_dir() else None


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], exact: bool, tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        allowed = DRIFT if name.endswith(BEFORE_BATCH_NORM) else tolerance
        torch.testing.assert_close(
            found[name], tensor, rtol=tolerance, atol=allowed, msg=lambda text, name=name: f"{name}: {text}"
        )
        assert torch.equal(found[name], tensor) or not exact, name


def assert_figures(evaluation: Any, name: str, exact: bool) -> None:
    expected = json.loads((BEFORE / name / "finished" / "best" / "metrics.json").read_bytes())
    found = evaluation.to_json()
    for key in ("data", "split", "protocol", "images", "captions"):
        assert found[key] == expected[key], key
    for key in ("i2t", "t2i", "rsum"):
        assert found[key] == (expected[key] if exact else pytest.approx(expected[key], abs=TIES)), key


def read_log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_bytes().splitlines()]


def assert_same_run(run: Path, name: str, exact: bool) -> None:
    """The best weights, those of the loss, the losses and the validations are those of the version before."""
    finished = BEFORE / name / "finished"
    found, expected = (vsezoo.load(folder).state_dict() for folder in (run, finished))
    assert_close(found, expected, exact, 1e-5)
    file = "best/loss.safetensors"
    assert (run / file).is_file() == (finished / file).is_file()
    if (finished / file).is_file():
        assert_close(load_file(run / file), load_file(finished / file), exact, 1e-5)
    logs = read_log(run), read_log(finished)
    losses, expected_losses = ({e["step"]: e["loss"] for e in log if e["event"] == "step"} for log in logs)
    assert list(losses) == list(range(1, RUNS[name]["steps"] + 1))
    assert losses == (expected_losses if exact else pytest.approx(expected_losses, rel=1e-4))
    validations, expected_validations = ([e for e in log if e["event"] == "validation"] for log in logs)
    assert len(validations) == len(expected_validations)
    for validation, then in zip(validations, expected_validations, strict=True):
        assert (validation["step"], validation["best"]) == (then["step"], then["best"])
        assert validation["score"] == (then["score"] if exact else pytest.approx(then["score"], abs=TIES))


def move(run: Path, target: Path) -> Path:
    """Copy a run elsewhere, as if its data and weights still lay where they lay when it was made."""
    shutil.copytree(run, target)
    for name in ("local.json", "state.json"):
        for file in target.rglob(name):
            text = file.read_text(encoding="utf-8")
            assert MADE["folder"] in text
            file.write_text(text.replace(MADE["folder"], BEFORE.as_posix()), encoding="utf-8")
    return target


@pytest.mark.parametrize("name", RUNS)
def test_embeddings_are_equal(name: str, exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where neither data nor weights are
    stored = load_file(BEFORE / name / "expected.safetensors")
    inputs: Any = stored.pop("inputs").numpy()
    if inputs.dtype == np.uint8:
        inputs = [Image.fromarray(pixels) for pixels in inputs]
    model = vsezoo.load(BEFORE / name / "finished")
    images, texts = model.encode_images(inputs), model.encode_texts(RUNS[name]["captions"])
    found = {"images": images, "texts": texts, "scores": model.similarity(images, texts)}
    assert_close(found, stored, exact, 1e-6)


@pytest.mark.parametrize("name", RUNS)
def test_figures_are_equal(name: str, exact: bool) -> None:
    assert_figures(vsezoo.evaluate(BEFORE / name / "finished", find_data(name)), name, exact)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_stopped_run_goes_on(name: str, exact: bool, machine: dict[str, str], tmp_path: Path) -> None:
    if name == "vsrn" and machine["dropout"] != MADE["dropout"]:
        pytest.skip("this torch draws other dropout masks than the one that began the run")
    if name == "vsepp-hf" and transformers.__version__ != MADE["transformers"]:
        pytest.skip("the digest of what captions have become has the version of transformers in it")
    run = tmp_path / "run"
    shutil.copytree(BEFORE / name / "stopped", run)
    result = vsezoo.train(RUNS[name]["model"], find_data(name), output=run, resume=True, device="cpu")
    assert result.checkpoint == run / "best"
    assert_figures(result.evaluation, name, exact)
    assert_same_run(run, name, exact)


@pytest.mark.slow
def test_a_run_copied_elsewhere_finds_its_data(exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = move(BEFORE / "kiros-lstm" / "stopped", tmp_path / "first")
    assert_figures(vsezoo.train("kiros-lstm", output=run, resume=True, device="cpu").evaluation, "kiros-lstm", exact)
    assert_same_run(run, "kiros-lstm", exact)
    again = shutil.copytree(run, tmp_path / "second")
    shutil.rmtree(run)
    assert_figures(vsezoo.evaluate(again), "kiros-lstm", exact)


@pytest.mark.slow
def test_a_checkpoint_copied_elsewhere_finds_its_data_and_weights(
    exact: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VSEZOO_WEIGHTS")
    checkpoint = move(BEFORE / "vsepp-frozen" / "finished" / "best", tmp_path / "checkpoint")
    assert_figures(vsezoo.evaluate(checkpoint), "vsepp-frozen", exact)
