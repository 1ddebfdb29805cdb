"""The average of the weights: its arithmetic, what is validated and kept, and that a stopped run goes on with it."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file
from torch import nn

import vsezoo
from vsezoo.errors import InterruptedTrainingError, RecipeError
from vsezoo.training.averaging import WeightAverage
from vsezoo.training.callbacks import Callback
from vsezoo.training.state import Progress, read_state

SETTINGS = {**tiny.SETTINGS, "training.average": 0.9, "training.val_step": 4}


def test_the_average_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([0.0, 2.0]))
    average = WeightAverage({"a.weight": weight}, decay=0.15)
    with torch.no_grad():
        weight.copy_(torch.tensor([11.0, 13.0]))
    average.update(1)  # the decay is 1 / 11
    assert average.averages[0].tolist() == pytest.approx([10.0, 12.0])
    average.update(90)  # the decay is 0.15, not 0.9
    assert average.averages[0].tolist() == pytest.approx([0.15 * 10 + 0.85 * 11, 0.15 * 12 + 0.85 * 13])


def test_applied_gives_the_own_values_back_bit_for_bit() -> None:
    weight = nn.Parameter(torch.rand(3))
    average = WeightAverage({"weight": weight}, decay=0.5)
    with torch.no_grad():
        weight.mul_(3)
    own, averaged = weight.detach().clone(), average.averages[0].clone()
    with suppress(ValueError), average.applied():
        assert torch.equal(weight, averaged)
        raise ValueError
    assert torch.equal(weight, own)
    assert torch.equal(average.averages[0], averaged)


def train(data: Path, output: Path, **options: Any) -> Any:
    return vsezoo.train("vsepp", str(data), output=output, device="cpu", **options)


@pytest.mark.slow
def test_the_checkpoint_has_the_average_and_the_training_does_not(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "plain", settings=SETTINGS | {"training.average": 0.0})
    train(data, tmp_path / "averaged", settings=SETTINGS)
    plain, averaged = (load_file(tmp_path / name / "last" / "state.safetensors") for name in ("plain", "averaged"))
    assert all(torch.equal(averaged[name], tensor) for name, tensor in plain.items())
    kept = load_file(tmp_path / "averaged" / "best" / "model.safetensors")
    progress = read_state(tmp_path / "averaged").progress
    assert progress.best_step == progress.step  # so that the last average is the one in the checkpoint
    assert kept.keys()
    for name, tensor in kept.items():
        assert torch.equal(tensor, averaged["average.model/" + name.replace(".", "/")]), name
        assert not torch.equal(tensor, averaged[f"model.{name}"]), name


@pytest.mark.slow
def test_a_stopped_run_goes_on_with_its_average(data: Path, tmp_path: Path) -> None:
    class Stop(Callback):
        def step(self, progress: Progress) -> None:
            if progress.step == 7:
                signal.raise_signal(signal.SIGINT)

    train(data, tmp_path / "whole", settings=SETTINGS)
    with pytest.raises(InterruptedTrainingError):
        train(data, tmp_path / "run", settings=SETTINGS, callbacks=[Stop()])
    train(data, tmp_path / "run", resume=True)
    for name in ("best/model.safetensors", "log.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_decay_of_one_would_never_move(data: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.average"):
        train(data, tmp_path / "run", settings={**SETTINGS, "training.average": 1.0})
